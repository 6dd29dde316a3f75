"""Syne Tune 0.13 on recorded curves, in its own simulator and in an environment of its own.

    python -m benchmarks.peers synetune

It is asked nothing: its simulator asks here for the curve of each config that it tries, and tells at
the end who reported when. Its simulated delays are set to 0, and it looks for news ten times in a mean
step. A recording that has a list of configs only gives the nearest one that is not used yet, and once
all are used, again of all: its tuner asks on until its time is over. A step that diverged counts as a
regret of 2 there: its models take no NaN.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Finds, Table
from benchmarks.peers import ENVIRONMENTS, described
from raysweep.cluster.recorded import ROW
from raysweep.searchers.among import Pool

METHODS = (
    "random", "bo", "asha", "asha-promotion", "pasha", "hyperband", "dehb", "bohb", "mobster",
    "hyper-tune", "dyhpo",
)  # fmt: skip
"""As `benchmarks/synetune_peer.py` names them."""
_LOOKS = 10
"""How often a mean step its tuner looks for news."""


class Curves:
    """What Syne Tune is told of configs; each stands for the one that was recorded."""

    def __init__(self, contest: Contest) -> None:
        self._on = contest.on
        self._pool = self._unused()
        self._recorded: dict[str, dict[str, Any]] = {}
        self._diverged = 2 * contest.on.median - contest.on.best

    def _unused(self) -> Pool | None:
        on = self._on
        return Pool(on.space, on.pool) if on.pool else None

    def recorded(self, config: dict[str, Any]) -> dict[str, Any]:
        """The config that is run for `config`, the same whenever it is asked."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._recorded:
            self._recorded[key] = self._nearest(config) if self._pool is not None else config
        return self._recorded[key]

    def _nearest(self, config: dict[str, Any]) -> dict[str, Any]:
        assert self._pool is not None
        row = self._pool.nearest(config)
        if row is None:
            self._pool = self._unused()
            return self._nearest(config)
        self._pool.take(row)
        return {ROW: row}

    def answer(self, config: dict[str, Any]) -> dict[str, list[float]]:
        """Scores and seconds since the beginning, step by step."""
        run, seconds, scores = self.recorded(config), [], []
        total_s = 0.0
        for step in range(1, self._on.max_t + 1):
            total_s += max(self._on.curves.step_s(run, step), 1e-6)
            score = self._on.goal.score(self._on.curves(run, 0, step))
            seconds.append(total_s)
            scores.append(score if math.isfinite(score) else self._diverged)
        return {"scores": scores, "seconds": seconds}


def run_synetune(contest: Contest, method: str, eta: int) -> Table:
    """One run of one of its methods.

    Args:
        contest: where, with how many workers, and for how long.
        method: one of `METHODS`.
        eta: the reduction factor.

    Raises:
        FileNotFoundError: its environment has not been made.
        RuntimeError: it died by itself, with the end of what it said.
    """
    python = ENVIRONMENTS / "synetune" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            "Syne Tune has no environment; make it: python -m benchmarks.peers synetune"
        )
    on, curves = contest.on, Curves(contest)
    first = {
        "method": method, "space": described(on.space), "seed": contest.seed, "eta": eta,
        "workers": contest.workers, "until_s": contest.until_s, "charge": contest.charge,
        "tick_s": on.training_s / on.max_t / _LOOKS, "max_t": on.max_t,
    }  # fmt: skip
    with tempfile.TemporaryFile("w+") as said_aside, subprocess.Popen(
        [str(python), str(Path(__file__).with_name("synetune_peer.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said_aside, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        message: dict[str, Any] = first
        while True:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                said_aside.seek(0)
                last = said_aside.read()[-500:]
                raise RuntimeError(f"Syne Tune died on {on.name} with {method}: {last}")
            said = json.loads(line)
            if "reports" in said:
                return _table(contest, said, curves)
            message = curves.answer(said["curve"])


def _table(contest: Contest, said: dict[str, Any], curves: Curves) -> Table:
    finds, on = Finds(contest), contest.on
    finds.cpu_s = said["cpu_s"]
    known: dict[str, dict[str, Any]] = {}
    for trial, step, at_s in said["reports"]:
        if trial not in known:
            known[trial] = curves.recorded(said["configs"][trial])
            finds.suggested(trial, known[trial], at_s)
        finds.report(trial, step, on.goal.score(on.curves(known[trial], 0, step)), at_s)
    return finds.table()
