"""How long workers stand idle for want of a suggestion, by searcher.

    python -m benchmarks.idle --out benchmarks/results/idle.json

Everything but the training is real: searcher, scheduler, state machine and loop, on the simulated
pool. A training step takes lognormal time; under `fifo` a trial is one step, under `asha` up to
nine. The processor time that the searcher takes for each config passes in the simulation: *aside*,
one config after the other while reports go on being handled, as sweeps do it; *in turn*, while the
loop stands still. Nothing else is charged. Idle is the share of slot time that passes between the
report with which a slot has done what it was told and what it is told next; so slots are idle for
want of a suggestion and for nothing else. A first short sweep, which is not shown, loads scipy: that
takes its first suggestion a second, once in a process.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from time import process_time as processor_s
from typing import Any

import numpy as np

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.loop import FOREVER_S, Loop, NoJournal
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trials.actions import PoolAction, RunTo, Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.events import Event, Opened, Reported, SlotUp
from raysweep.trials.trial import TrialId

SPACE = {
    "lr": {"loguniform": [1e-4, 1e-1]},
    "decay": {"loguniform": [1e-6, 1e-2]},
    "dropout": {"uniform": [0.0, 0.6]},
    "optimizer": {"choice": ["sgd", "adam"]},
    "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": "sgd"}},
    "width": {"lograndint": [16, 256]},
}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "fifo": {"name": "fifo", "max_t": 1},
    "asha": {"name": "asha", "max_t": 9, "form": "stopping"},
}
CASES = "random/fifo,tpe/fifo,bohb/asha,auto/fifo,auto/asha,gp/fifo"
_INSTANT_S = 1e-9


def curve(config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
    """A bowl whose floor falls with the steps."""
    loss = (math.log10(config["lr"]) + 2.5) ** 2 + (config["dropout"] - 0.2) ** 2
    loss += 0.1 * (math.log10(config["decay"]) + 4.0) ** 2 + abs(config["width"] - 100) / 200
    return {"loss": loss + config.get("momentum", 0.3) / 10.0 + 1.0 / step}


class Asker:
    """Asks the real searcher and lets its processor time pass in the simulation.

    A pool and a loop's `propose` and `answers` at once. Aside, a config is asked for when the one
    before is there, and knows what has happened by then.
    """

    def __init__(
        self, propose: Proposer, pool: SimulatedPool, clock: ManualClock, aside: bool
    ) -> None:
        self._propose, self._pool, self._clock, self._aside = propose, pool, clock, aside
        self._asked: deque[TrialId] = deque()
        self._next: tuple[float, Event] | None = None
        self._slots: dict[TrialId, tuple[str, int]] = {}  # where a trial is, and how far it may go
        self._since: dict[str, float] = {}  # from when on each idle slot is idle
        self.spent_s: list[float] = []
        self.late_s: list[float] = []
        """How long each event of the pool waited for the loop."""
        self._idle_s = 0.0
        self.close = pool.close

    def do(self, action: PoolAction) -> None:
        """Pass on; a slot that starts or goes on was idle until now."""
        if isinstance(action, Start | RunTo):
            self._idle_s += self._clock.now() - self._since.pop(action.slot)
            upto = action.run_to if isinstance(action, Start) else action.step
            self._slots[action.trial] = (action.slot, upto)
        self._pool.do(action)

    def idle_s(self, until_s: float) -> float:
        """Idle slot time up to `until_s`, after which nothing has started."""
        return self._idle_s + sum(max(0.0, until_s - since) for since in self._since.values())

    def request(self, trial: TrialId, at: float) -> Event | None:
        """A loop's `propose`."""
        if self._aside:
            self._asked.append(trial)
            return None
        event = self._measured(trial, at)
        self._clock.sleep(self.spent_s[-1])
        return event

    def answers(self, at: float) -> list[Event]:
        """A loop's `answers`."""
        events: list[Event] = []
        if self._next and at >= self._next[0] - _INSTANT_S:
            events.append(self._next[1]._replace(at=at))
            self._next = None
        if self._asked and not self._next and not events:  # else it is asked once it was told
            event = self._measured(self._asked.popleft(), at)
            self._next = (at + self.spent_s[-1], event)
        return events

    def poll(self, timeout_s: float) -> list[Event]:
        """Poll, but no longer than until an answer is there."""
        if self._next:
            timeout_s = min(timeout_s, max(0.0, self._next[0] - self._clock.now()))
        before = self._clock.now()
        happened = self._pool.poll(timeout_s)
        self.late_s += [max(0.0, before - event.at) for event in happened]
        for event in happened:
            if isinstance(event, SlotUp):
                self._since[event.slot] = event.at
            elif isinstance(event, Reported) and event.steps[-1] >= self._slots[event.trial][1]:
                self._since[self._slots[event.trial][0]] = event.at
        return happened

    def _measured(self, trial: TrialId, at: float) -> Event:
        begun = processor_s()
        event = self._propose(trial, at)
        self.spent_s.append(processor_s() - begun)
        return event


def measure(
    searcher: str, scheduler: str, *, workers: int, until_s: float, step_s: float, aside: bool
) -> dict[str, Any]:
    """One simulated sweep."""
    spec = SweepSpec.from_dict(
        {
            "trainable": "none:none",
            "space": SPACE,
            "metric": "loss",
            "mode": "min",
            "searcher": searcher,
            "scheduler": SCHEDULERS[scheduler],
            "budget": {"wall_time_s": until_s},
            "cluster": {"max_slots": workers},
        }
    )
    clock, state = ManualClock(), new_state(spec)
    machine = Machine(workers=workers, step_s=step_s, step_sigma=0.5, can_save=False)
    propose = Proposer(state.advice.searcher, spec.parsed_space.check, spec.seed)
    asker = Asker(propose, SimulatedPool(machine, curve, clock, spec.seed), clock, aside)
    loop = Loop(
        state,
        asker,
        NoJournal(),
        clock=clock,
        origin_s=0.0,
        propose=asker.request,
        answers=asker.answers,
        patience_s=FOREVER_S,
    )
    loop.run(Opened(0.0, 1, 0.0, "simulated"))
    spent_ms = 1e3 * np.array(asker.spent_s)
    return {
        "searcher": searcher,
        "scheduler": scheduler,
        "asked": "aside" if aside else "in turn",
        "workers": workers,
        "until_s": until_s,
        "suggestions": len(spent_ms),
        "ask_ms": float(spent_ms.mean()),
        "ask_p99_ms": float(np.quantile(spent_ms, 0.99)),
        "asks_per_s": len(spent_ms) / until_s,
        "thread": min(1.0, float(spent_ms.sum()) / 1e3 / until_s),
        "idle": asker.idle_s(until_s) / (until_s * workers),
        "late_p95_ms": 1e3 * float(np.quantile(asker.late_s, 0.95)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", default=CASES, help="SEARCHER/SCHEDULER, in turn")
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--until-s", type=float, default=80.0, help="of simulated time")
    parser.add_argument("--step-s", type=float, default=10.0, help="median time of a step")
    parser.add_argument("--asked", default="aside,in turn")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    measure("gp", "fifo", workers=4, until_s=40.0, step_s=10.0, aside=True)
    print(
        f"{'searcher':10}{'scheduler':10}{'asked':8}{'asks':>8}{'ms/ask':>9}{'p99 ms':>9}"
        f"{'asks/s':>8}{'thread':>8}{'idle':>8}{'late p95, ms':>14}"
    )
    for case in given.cases.split(","):
        searcher, scheduler = case.split("/")
        for asked in given.asked.split(","):
            row = measure(
                searcher,
                scheduler,
                workers=given.workers,
                until_s=given.until_s,
                step_s=given.step_s,
                aside=asked == "aside",
            )
            rows.append(row)
            print(
                f"{searcher:10}{scheduler:10}{row['asked']:8}{row['suggestions']:8,}"
                f"{row['ask_ms']:9.2f}{row['ask_p99_ms']:9.1f}{row['asks_per_s']:8.1f}"
                f"{row['thread']:8.1%}{row['idle']:8.2%}{row['late_p95_ms']:14.1f}",
                flush=True,
            )
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
