"""A share of the condemned runs on to the end, so that what stopping them cost can be estimated.

    condemned   a trial with a finite value that the rule stops; or one that it leaves paused when
                it has nobody left to promote, nobody to decide on and nobody new to wait for
    audited     of these a share, each drawn by a stream of its own from (seed, trial): nothing that
                a trial reports can have a say in it, so they are a simple random sample

An audited trial runs to max_t and is judged no more. The rule is told that it ended where it was
condemned and never hears of it again: it decides on everybody else as if there were no audit, and
nobody at a rung is compared with what an audited trial came to later. A trial without a finite value
is ended as ever: nothing says what it could still come to.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, Status, TrialId

OF = "audit of "
"""Before the name of the rule that would have stopped a trial."""
RULE = "audit"
"""Why a trial goes on that its rule has left paused."""


class Audited:
    """A scheduler that lets some of those run on whom another one condemns.

    Args:
        inner: the rule.
        share: of the condemned that are audited, 0 … 1.
        max_t: the step to which these run.
        seed: the sweep's.
    """

    def __init__(self, inner: Scheduler, share: float, max_t: int, seed: int = 0) -> None:
        self._inner, self._share, self._max_t, self._seed = inner, share, max_t, seed
        self._best: dict[TrialId, float] = {}  # of those that run and that the rule decides on
        self._waiting: dict[TrialId, tuple[int, float, Reason]] = {}  # drawn, and paused by it
        self._audited: set[TrialId] = set()

    def _drawn(self, trial: TrialId) -> bool:
        return Stream(self._seed, trial, "audit").uniform() < self._share

    def grant(self, trial: TrialId, config: Config) -> int:
        """As the rule says."""
        self._best[trial] = WORST
        return self._inner.grant(trial, config)

    def on_report(self, report: Report) -> Decision:
        """As the rule decides, but for those drawn whom it stops; these it does not see again."""
        trial = report.trial
        if trial in self._audited:
            done = report.step >= self._max_t
            return Finish(Reason("max_t", self._max_t, report.score)) if done else CONTINUE
        best = self._best[trial] = min(report.score, self._best.get(trial, WORST))
        decision = self._inner.on_report(report)
        if isinstance(decision, Pause):
            del self._best[trial]
            if self._drawn(trial):
                self._waiting[trial] = report.step, best, decision.reason
        elif isinstance(decision, Stop) and report.score != WORST and self._drawn(trial):
            why = decision.reason
            self._condemn(trial, report.step, best)
            return RunTo(self._max_t, why._replace(rule=OF + why.rule))
        return decision

    def _condemn(self, trial: TrialId, step: int, best: float) -> None:
        """To the rule it has ended; it runs on as an audited one."""
        self._best.pop(trial, None)
        self._audited.add(trial)
        self._inner.on_end(trial, Outcome(Status.STOPPED, step, best))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Whom the rule promotes; once it can promote nobody any more, those drawn that wait."""
        if promotion := self._inner.next_paused(more):
            _, best, _ = self._waiting.pop(promotion.trial, (0, WORST, None))
            self._best[promotion.trial] = best
            return promotion
        if more or self._best or not self._waiting:
            return None
        trial = next(iter(self._waiting))
        step, best, why = self._waiting.pop(trial)
        self._condemn(trial, step, best)
        return Promotion(trial, self._max_t, why._replace(rule=RULE))

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Told to the rule, unless it knows of a former end."""
        self._best.pop(trial, None)
        self._waiting.pop(trial, None)
        if trial in self._audited:
            self._audited.discard(trial)
        else:
            self._inner.on_end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """The rule's state, who runs by it, who is drawn and waits, and who is audited."""
        return {
            "inner": self._inner.state(),
            "best": self._best,
            "waiting": [[trial, *entry[:2], [*entry[2]]] for trial, entry in self._waiting.items()],
            "audited": sorted(self._audited),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._inner.load(state["inner"])
        self._best = dict(state["best"])
        self._waiting = {t: (step, best, Reason(*why)) for t, step, best, why in state["waiting"]}
        self._audited = set(state["audited"])
