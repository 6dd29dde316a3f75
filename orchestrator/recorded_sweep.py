"""An earlier sweep as recorded curves: what each trial reported, in what time, and why it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.cluster.recorded import ROW, RecordedCurves, Recording, Track
from raysweep.results.read import Results, read
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.trial import Status


class Recorded(NamedTuple):
    """One trial of an earlier sweep.

    Attributes:
        trial: its id.
        config: what it tried.
        status: what became of it.
        by_itself: whether its training code came to its own end.
        track: its reports from step 1 on, as far as there is one for each step.
        scores: of each of these; lower is better.
    """

    trial: str
    config: dict[str, Any]
    status: Status
    by_itself: bool
    track: Track
    scores: tuple[float, ...]

    @property
    def cut(self) -> bool:
        """Whether the sweep ended it, or came to rest, before it was complete."""
        return self.status not in (Status.COMPLETED, Status.FAILED)


class RecordedSweep(NamedTuple):
    """What an earlier sweep has left to play again.

    Attributes:
        path, name: which sweep.
        goal: what it optimised.
        seed: its seed.
        trials: those that reported, in the order in which they were suggested.
        silent: how many others there were.
        space: what it searched; None: the directory does not say.
        gpu: the GPU fraction of a trial.
        slots: on how many it ran.
        setup_s: mean seconds from an attempt's start to its training.
        timed: whether seconds were recorded; else each step counts as one.
    """

    path: Path
    name: str
    goal: Goal
    seed: int
    trials: tuple[Recorded, ...]
    silent: int
    space: Space | None
    gpu: float
    slots: int
    setup_s: float
    timed: bool

    @property
    def longest(self) -> int:
        """The last recorded step of all."""
        return max(len(trial.scores) for trial in self.trials)

    @property
    def searched(self) -> Space:
        """The space; where the directory does not say, one that says nothing about the configs."""
        return self.space or Space.from_dict({"recorded": {"uniform": [0.0, 1.0]}})

    def recording(self) -> Recording:
        """The trials as a benchmark whose configs are what was tried."""
        tracks = [trial.track for trial in self.trials]
        finals = sorted(trial.scores[-1] for trial in self.trials)
        seconds = [sum(track.seconds) for track in tracks]
        return Recording(
            self.name,
            self.searched,
            self.goal,
            self.longest,
            RecordedCurves(lambda config: tracks[config[ROW]]),
            best=min(min(trial.scores) for trial in self.trials),
            median=finals[len(finals) // 2],
            training_s=sum(seconds) / len(seconds),
            pool=tuple(trial.config for trial in self.trials),
        )


def recorded_sweep(path: Path) -> RecordedSweep:
    """The sweep at `path` as recorded curves.

    Raises:
        StoreError: there is none, or it is damaged.
        SpecError: none of its trials has reported.
    """
    results = read(path)
    manifest = results.manifest
    goal = Goal(tuple(manifest["metrics"].items()))
    spec = manifest.get("spec") or {}
    tracks = _tracks(results, goal)
    timed = any(any(track.seconds) for track in tracks.values())
    if not timed:
        tracks = {
            t: track._replace(seconds=[1.0] * len(track.seconds)) for t, track in tracks.items()
        }
    rows = sorted(results.arrow("trials").to_pylist(), key=_order)
    rows = [row for row in rows if row["replicate_of"] is None]  # no searcher proposed these
    trials = tuple(
        _recorded(row, tracks[row["trial_id"]], goal) for row in rows if row["trial_id"] in tracks
    )
    if not trials:
        raise SpecError(
            f"{path}: no trial has reported {goal.metric}, so there is nothing to replay; choose a "
            f"sweep that has run"
        )
    attempts = results.arrow("attempts").select(["slot", "setup_s"]).to_pydict()
    setups = [seconds for seconds in attempts["setup_s"] if seconds is not None]
    return RecordedSweep(
        path,
        str(manifest.get("name", path.name)),
        goal,
        int(manifest.get("seed") or 0),
        trials,
        len(rows) - len(trials),
        Space.from_dict(spec["space"], spec.get("constraints") or ())
        if spec.get("space")
        else None,
        float((spec.get("resources") or {}).get("gpu") or 0.0),
        max(1, len(set(attempts["slot"]))),
        sum(setups) / len(setups) if setups else 0.0,
        timed,
    )


def _order(row: Mapping[str, Any]) -> tuple[float, str]:
    created = row["created_at"]
    return (float("inf") if created is None else created, row["trial_id"])


def _recorded(row: Mapping[str, Any], track: Track, goal: Goal) -> Recorded:
    by_step = zip(*track.metrics.values(), strict=True)
    names = list(track.metrics)
    scores = tuple(goal.score(dict(zip(names, values, strict=True))) for values in by_step)
    status = Status(row["status"])
    by_itself = status is Status.COMPLETED and not row["stop_rule"]
    config = json.loads(row["config_json"])
    return Recorded(row["trial_id"], config, status, by_itself, track, scores)


def _tracks(results: Results, goal: Goal) -> dict[str, Track]:
    """By trial its reports up to the first step that is missing."""
    columns = {name: column for column, name in results.metric_columns.items()}
    names = [name for name, _ in goal.metrics if name in columns]
    if goal.metric not in names:
        return {}
    wanted = ["trial_id", "attempt", "step", "elapsed_s", *(columns[name] for name in names)]
    rows = zip(*results.arrow("reports").select(wanted).to_pydict().values(), strict=True)
    tracks = {}
    for trial, reports in groupby(rows, key=lambda row: row[0]):
        whole = list(_unbroken(reports))
        if whole:
            values = list(zip(*whole, strict=True))
            tracks[trial] = Track(dict(zip(names, values[1:], strict=True)), list(values[0]))
    return tracks


def _unbroken(reports: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """(seconds of the step, metrics…) for steps 1, 2, … until one is missing."""
    attempt_before, elapsed_before_s = None, 0.0
    for expected, (_, attempt, step, elapsed_s, *metrics) in enumerate(reports, 1):
        if step != expected:
            return
        elapsed_s = elapsed_s or 0.0
        since_s = elapsed_before_s if attempt == attempt_before else 0.0
        yield (max(0.0, elapsed_s - since_s), *metrics)
        attempt_before, elapsed_before_s = attempt, elapsed_s
