"""A rung rule whose rungs are not steps: seconds, money, or what a metric counts.

    amount      what a trial has spent, in the unit, so far; it never falls
    target      the amount at which the inner rule wants to decide on the trial next
    told        the amount of which the inner rule has heard last

The inner rule counts in whole units and knows nothing of steps. A trial is shown to it at its first
report at or beyond an amount that the rule asked for: at the target, where it decides, and at up to
eight amounts on the way there, from which some rules learn (`rungs.waypoints`). One step that passes several targets
is judged at each in turn, as long as the rule lets the trial go on; the last decision is the one on
record.

Outwards steps are granted: as many as the trial will need to the target at its own pace, by the
cheaper of its average and its newest step. Too few, and it is granted the rest when they are taken;
too many, and it is judged on the way. A trial that costs nothing so far is granted twice its steps.
A promoted trial runs one step at least, even if it had passed its target before it could be paused.
"""

from __future__ import annotations

import math
from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.meters import Meter, Spent
from raysweep.schedulers.rungs import waypoints
from raysweep.trials.decisions import CONTINUE, Continue, Decision, Pause, Reason, RunTo, Stop
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId


class _Account:
    """One live trial; `low` is the amount at which the target was set, None a target: it waits."""

    __slots__ = ("amount", "last", "low", "run_to", "spent", "step", "target", "told")

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.step = self.run_to = self.low = self.told = 0
        self.amount = self.last = 0.0  # `last`: what the newest step added
        self.spent: Spent = {}

    @property
    def units(self) -> int:
        return math.floor(self.amount)

    def aim(self, target: int) -> None:
        """Run on to another target."""
        self.low, self.target = self.told, target

    def steps_to(self, target: int) -> int:
        """The step at which it will have spent `target`, as far as one can say."""
        if target >= UNBOUNDED:
            return UNBOUNDED
        per_step = min(self.amount / self.step, self.last) if self.step else 0.0
        ahead = (target - self.amount) / per_step if per_step else self.step
        return self.step + max(1, math.ceil(min(ahead, UNBOUNDED - self.step - 1)))


class Metered:
    """Any rung rule, in another unit than steps.

    Args:
        inner: the rule, with max_t and grace period in whole units.
        meter: what a trial has spent.
        unit: its name, for reasons.
    """

    def __init__(self, inner: Scheduler, meter: Meter, unit: str) -> None:
        self._inner, self._meter, self._unit = inner, meter, unit
        self._accounts: dict[TrialId, _Account] = {}

    def grant(self, trial: TrialId, config: Config) -> int:
        """One step, which shows what a step costs; all, if no target is set."""
        account = self._accounts[trial] = _Account(self._inner.grant(trial, config))
        return self._grant(account)

    def _grant(self, account: _Account) -> int:
        assert account.target is not None, "only who runs is granted steps"
        account.run_to = account.steps_to(account.target)
        return account.run_to

    def on_report(self, report: Report) -> Decision:
        """Charge the step; ask the inner rule if it brought the trial to its target."""
        account = self._accounts[report.trial]
        if problem := self._meter.charge(account.spent, report):
            return Stop(Reason(problem, score=report.score))
        before = account.amount
        account.amount = max(before, self._meter.amount(account.spent))
        account.step, account.last = report.step, account.amount - before
        decision = self._ask(account, report)
        if not isinstance(decision, Continue) or report.step < account.run_to:
            return decision
        if account.target is None:
            return Pause(Reason(f"waits since {account.told:,} {self._unit}"))
        spent = f"{account.units:,} of {account.target:,} {self._unit}"
        return RunTo(self._grant(account), Reason(f"{spent} are spent"))

    def _ask(self, account: _Account, report: Report) -> Decision:
        """Show the trial to the inner rule at each amount that it has come to."""
        passed: RunTo | None = None
        while account.target is not None:
            heard: Decision = CONTINUE
            for amount in waypoints(account.low, account.target):
                if account.told < amount <= account.units:
                    account.told = amount
                    heard = self._inner.on_report(report._replace(step=amount))
            if account.told < account.target:
                break
            if not isinstance(heard, RunTo):
                account.target = None
                return heard
            passed = heard
            account.aim(heard.step)
        if passed is None:
            return CONTINUE
        granted = account.run_to  # it may be as far already, so this is not taken back
        account.run_to = max(granted, self._grant(account))
        return RunTo(account.run_to, passed.reason)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Whom the inner rule promotes, to the step at which it should come to the next target."""
        promotion = self._inner.next_paused(more)
        if promotion is None:
            return None
        account = self._accounts[promotion.trial]
        account.aim(promotion.step)
        return promotion._replace(step=self._grant(account))

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """What it has shown of devices stays."""
        self._accounts.pop(trial, None)
        self._inner.on_end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """The inner rule's, the meter's, and each live trial's account."""
        accounts = {
            trial: {name: getattr(account, name) for name in _Account.__slots__}
            for trial, account in self._accounts.items()
        }
        return {
            "inner": self._inner.state(),
            "meter": self._meter.state(),
            "accounts": accounts,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._inner.load(state["inner"])
        self._meter.load(state["meter"])
        for trial, saved in state["accounts"].items():
            account = self._accounts[trial] = _Account(None)
            for name, value in saved.items():
                setattr(account, name, value)
            account.spent = dict(account.spent)
