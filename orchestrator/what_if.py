"""What another rule would have done with the curves of an earlier sweep.

Both sides run on the same simulated workers: once every curve to its recorded end, which is what was
recorded, and once as the rule decides. A recording that was cut off ends a trial there, and what it
would have come to is not made up: the trial counts as *unknown beyond*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from raysweep.cluster.recorded import ROW
from raysweep.orchestrator.play import play
from raysweep.orchestrator.recorded_sweep import Recorded, RecordedSweep
from raysweep.orchestrator.simulate import Simulated
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.yaml_file import parse_yaml
from raysweep.schedulers.catalog import SCHEDULERS
from raysweep.schedulers.units import STEPS, unit_of
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Ended, Event, Reported, Suggested
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Status

_AS_RECORDED = {"name": "fifo"}


class Side(NamedTuple):
    """One of two ways through the same curves.

    `best` is the best score reported, `best_at_s` when; `final` the best last score of those that
    came to their recorded end; `WORST` where there is none.
    """

    steps: int
    slot_s: float
    time_s: float
    best: float
    best_at_s: float
    final: float
    trials: dict[str, int]


class WhatIf(NamedTuple):
    """Two sides, and what became of single trials on the second.

    Attributes:
        recorded, replayed: every curve to its recorded end, and what the rule did.
        unknown: trials that the rule would have run beyond their cut-off recording.
        failed: trials that came to where they had failed.
        top: the best trials on record, the best first.
        killed: those of them that did not come to their recorded end, though the rule ends no
            trial there by itself.
    """

    recorded: Side
    replayed: Side
    unknown: tuple[str, ...]
    failed: tuple[str, ...]
    top: tuple[str, ...]
    killed: tuple[str, ...]


def named(text: str, what: str) -> dict[str, Any]:
    """Name and options from `asha` or `asha:max_t=27,form=stopping`, values as in YAML.

    Raises:
        SpecError: what stands behind the name is no option=value.
    """
    name, _, given = text.partition(":")
    options: dict[str, Any] = {}
    for pair in filter(None, given.split(",")):
        option, equals, value = pair.partition("=")
        if not equals or not option.strip():
            raise SpecError(
                f"--{what} {text!r}: {pair!r} is no option; write NAME:option=value,option=value, "
                f"e.g. asha:max_t=27,reduction_factor=4"
            )
        options[option.strip()] = parse_yaml(f"value: {value}", f"--{what} {option}").get("value")
    return {"name": name, **options}


def spec_of(
    sweep: RecordedSweep, scheduler: dict[str, Any], searcher: dict[str, Any] | None, workers: int
) -> SweepSpec:
    """The sweep that goes through the recorded trials by other rules.

    Args:
        sweep: what was recorded.
        scheduler: name and options; a `max_t` that is missing is the longest curve's.
        searcher: likewise; None: the trials come in their recorded order.
        workers: how many run at once.

    Raises:
        SpecError: a name or an option does not exist, the searcher cannot choose among trials, or
            there are no workers.
    """
    if workers < 1:
        raise SpecError(f"--workers is {workers}; it must be 1 or more")
    entry = SCHEDULERS.get(scheduler["name"])
    if entry and "max_t" in entry.options and unit_of(scheduler) == STEPS:
        scheduler = {"max_t": sweep.longest, **scheduler}
    if searcher is not None:
        _check_searcher(sweep, searcher)
    written = {
        "trainable": "none:none",
        "space": sweep.searched,
        "metric": sweep.goal.metric,
        "mode": sweep.goal.mode,
        "metrics": dict(sweep.goal.metrics),
        "scheduler": scheduler,
        "searcher": searcher or "random",
        "budget": {"trials": len(sweep.trials)},
        "cluster": {"max_slots": workers},
        "seed": sweep.seed,
    }
    return SweepSpec.from_dict(written, where=f"a replay of {sweep.name}")


def _check_searcher(sweep: RecordedSweep, searcher: dict[str, Any]) -> None:
    name = searcher["name"]
    if sweep.space is None:
        raise SpecError(
            f"--searcher {name}: {sweep.path} does not say what space it searched, so nobody can "
            f"choose among its configs; leave --searcher out, and they come in recorded order"
        )
    if name in SEARCHERS and SEARCHERS[name].finite:
        raise SpecError(
            f"--searcher {name}: it goes through a list of its own, and only recorded configs can be "
            f"replayed; leave --searcher out, and they come in recorded order"
        )


def what_if(
    sweep: RecordedSweep,
    scheduler: dict[str, Any],
    *,
    searcher: dict[str, Any] | None = None,
    workers: int | None = None,
    top: int = 5,
) -> WhatIf:
    """What a rule would have made of a recorded sweep.

    Args:
        sweep: what was recorded.
        scheduler, searcher: as for `spec_of`.
        workers: how many run at once; None: on as many slots as the sweep had.
        top: how many of the best trials on record to follow.

    Raises:
        SpecError: as `spec_of`.
    """
    workers = sweep.slots if workers is None else workers
    spec = spec_of(sweep, scheduler, searcher, workers)
    plain = spec_of(sweep, _AS_RECORDED, None, workers)
    recorded, _ = _side(sweep, plain, workers, in_order=True)
    replayed, lives = _side(sweep, spec, workers, in_order=searcher is None)
    ranked = sorted(range(len(sweep.trials)), key=lambda row: min(sweep.trials[row].scores))[:top]
    ran_out = [(row, sweep.trials[row]) for row in sorted(lives.ran_out)]
    return WhatIf(
        recorded,
        replayed,
        tuple(t.trial for _, t in ran_out if not t.by_itself and t.status is not Status.FAILED),
        tuple(t.trial for _, t in ran_out if t.status is Status.FAILED),
        tuple(sweep.trials[row].trial for row in ranked),
        tuple(sweep.trials[row].trial for row in ranked if lives.killed(row, sweep.trials[row])),
    )


class _Lives:
    """How far each recorded trial came: an observer of the loop."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._steps: dict[int, int] = {}
        self._finished: set[int] = set()
        self.ran_out: set[int] = set()
        """Rows whose recording ended while the rule would have gone on."""

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        if isinstance(event, Suggested):
            self._rows[event.trial] = event.config[ROW]
        elif isinstance(event, Reported):
            self._steps[self._rows[event.trial]] = event.steps[-1]
        elif isinstance(event, Ended):
            self.ran_out.add(self._rows[event.trial])
        for verdict in verdicts:
            if verdict.verb == "finish":
                self._finished.add(self._rows[verdict.trial])

    def complete(self, row: int, trial: Recorded) -> bool:
        """Whether it came to its recorded end."""
        return self._steps.get(row, 0) == len(trial.scores)

    def killed(self, row: int, trial: Recorded) -> bool:
        """Whether it did not, and the rule did not see it through to its own max_t either."""
        return not self.complete(row, trial) and row not in self._finished


def _side(
    sweep: RecordedSweep, spec: SweepSpec, workers: int, *, in_order: bool
) -> tuple[Side, _Lives]:
    lives = _Lives()
    found: Simulated = play(
        spec,
        sweep.recording(),
        workers=workers,
        setup_s=sweep.setup_s,
        in_order=in_order,
        observe=lives,
    )
    finals = [
        trial.scores[-1] for row, trial in enumerate(sweep.trials) if lives.complete(row, trial)
    ]
    side = Side(
        found.steps,
        found.busy_s,
        found.at_s,
        found.best.score if found.best else WORST,
        found.best_at_s,
        min(finals, default=WORST),
        found.trials,
    )
    return side, lives
