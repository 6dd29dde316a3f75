"""Population based training: the worst are replaced by children of the best, as training goes on.

Jaderberg, Dalibard, Osindero et al.: "Population Based Training of Neural Networks", 2017,
arXiv:1711.09846. Algorithm 1 with truncation selection (section 4.1.1): at its rung a member of the
worst quantile copies the weights of one drawn from the best quantile, and explores from its
hyperparameters. Asynchronous: nobody waits for anybody.

Here a trial keeps its config for life. The member that loses is stopped, and a *child* takes its
place: a new trial with the explored config, which goes on from the donor's newest checkpoint. A
donor is a member with a checkpoint that the sweep still has, so that none is copied that was never
written or is gone.

Two members are compared at the last rung that both have shown, and a child has shown what its
donor had. The paper compares latest values: then whoever is behind looks bad, and on few workers,
where members take turns, none that has just come to a rung would ever be among the worst.

A member loses only to a donor that is strictly better, so that a metric which has come to rest
replaces nothing. A place whose child has lost is filled again only from a checkpoint further on than
the one that child began from: others train in between, and each place has at most one child a rung.
Without this, on few slots, children of one checkpoint follow each other without end.

    n   members that share a rung with the one that is judged, itself and vacant places included
    q   quantile; k = ⌊n·q⌋ members are the worst, max(1, k) the best
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raysweep.schedulers.base import Fork, Promotion
from raysweep.schedulers.explorer import Explorer, Interval, Perturb, changeable
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, Status, TrialId


class Pbt:
    """The population, its latest scores and its vacant places.

    Args:
        population: how many trials the searcher is asked for; children come in others' place.
        seed: the sweep's; what a child draws depends on it and on the child's id.
        explorer: makes a child's config of its donor's.
        max_t: the step at which a member is complete; None: when its training code ends.
        interval: steps from one rung to the next.
        quantile: the share that is replaced, and the share that is copied.
    """

    def __init__(
        self,
        population: int,
        seed: int,
        explorer: Explorer,
        *,
        max_t: int | None,
        interval: int,
        quantile: float,
    ) -> None:
        if int(population * quantile) < 1:
            raise SpecError(
                f"scheduler pbt: of a population of {population}, a quantile of {quantile:g} is nobody; "
                f"raise the budget of trials to {-int(-1 // quantile)}, or the quantile"
            )
        self._population, self._seed, self._explorer = population, seed, explorer
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._interval, self._quantile = interval, quantile
        self._configs: dict[TrialId, Config] = {}
        self._shown: dict[TrialId, dict[int, float]] = {}  # of each member, rung → score
        self._saved: dict[TrialId, int] = {}
        self._starts: dict[TrialId, int] = {}  # of children that have shown nothing of their own
        self._begun: dict[TrialId, int] = {}  # of children, until their place is another's
        self._paused: dict[TrialId, int] = {}
        self._vacant: list[TrialId] = []  # stopped or failed, their places not taken yet
        self._barren = 0  # so many children in a row have failed before they showed anything
        self._founders = 0
        self._complete = False  # no founder will come any more, however many have

    @classmethod
    def of(
        cls,
        setting: Setting,
        *,
        max_t: int | None,
        interval: int,
        quantile: float,
        change: Sequence[str] | None,
        factors: Sequence[float],
        resample_probability: float,
    ) -> Pbt:
        """The rule for a sweep, its space and budget.

        Raises:
            SpecError: nobody, or nothing, may change.
        """
        assert setting.space is not None  # the catalogue has asked
        assert setting.trials is not None
        names = changeable(setting.space, "pbt", change)
        explorer = Perturb(setting.space, names, factors, resample_probability)
        return cls(
            setting.trials, setting.seed, explorer,
            max_t=max_t, interval=interval, quantile=quantile,
        )  # fmt: skip

    def grant(self, trial: TrialId, config: Config) -> int:
        """To its next rung."""
        if trial not in self._starts:
            self._founders += 1
        self._configs[trial] = dict(config)
        return self._rung_after(self._starts.get(trial, 0))

    def on_report(self, report: Report) -> Decision:
        """Compare at rungs, finish at max_t."""
        trial, step, score = report.trial, report.step, report.score
        if step % self._interval and step < self._max_t:
            return CONTINUE
        self._show(trial, step, score)
        if step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, score))
        rank, peers = self._standing(trial)
        why = Reason("pbt", step, score, None, rank, peers)
        losers = int(peers * self._quantile) if self._full() else 0
        if score == WORST or (rank > peers - losers and self._donors(trial)):
            self._vacant.append(trial)
            return Stop(why._replace(rule="pbt exploit"))
        if self._yields():
            self._paused[trial] = step
            return Pause(why)
        return RunTo(self._rung_after(step), why)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The member that is least far, once the population is there: it trains in step."""
        self._complete = self._complete or not more
        if not self._paused or not self._full():
            return None
        trial = min(self._paused, key=lambda each: (self._paused[each], each))
        step = self._paused.pop(trial)
        return Promotion(trial, self._rung_after(step), Reason("pbt turn"))

    def saved(self, trial: TrialId, step: int) -> None:
        """It can be copied from `step` on."""
        if step:
            self._saved[trial] = step
        else:
            self._saved.pop(trial, None)

    def next_fork(self, trial: TrialId) -> Fork | None:
        """A child for the place that has been vacant for longest."""
        if not self._vacant or not self._full():
            return None
        best = self._donors()
        furthest = max((self._saved[each] for each in best), default=0)
        place = next((each for each in self._vacant if self._begun.get(each, 0) < furthest), None)
        if place is None:
            return None
        donors = [each for each in best if self._saved[each] > self._begun.get(place, 0)]
        stream = Stream(self._seed, trial, "pbt")
        donor = stream.choice(donors)
        step, config = self._saved[donor], self._configs[donor]
        others = [each for name, each in self._configs.items() if name != place]
        child = self._explorer.explore(config, step, others, stream)
        self._vacant.remove(place)
        self._begun.pop(place, None)
        self._starts[trial] = self._begun[trial] = step
        self._configs[trial] = child
        self._shown[trial] = {at: s for at, s in self._shown[donor].items() if at <= step}
        return Fork(donor, child, {"instead": place})

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Out of the population, and nobody copies it any more; who has failed is replaced.

        But once as many children as the population has members have failed in a row, none of which
        came to a rung, such a child leaves its place empty: where no checkpoint can be loaded, one
        child would follow another without end.
        """
        if outcome.status is Status.FAILED and trial in self._configs:
            barren = trial in self._starts
            self._barren += barren
            if trial not in self._vacant and not (barren and self._barren > self._population):
                self._vacant.append(trial)
        if trial in self._starts or trial not in self._vacant:
            self._begun.pop(trial, None)  # a barren child's place is bounded by their number
        for known in (self._configs, self._shown, self._saved, self._starts, self._paused):
            known.pop(trial, None)

    def _rung_after(self, step: int) -> int:
        return min(step - step % self._interval + self._interval, self._max_t)

    def _full(self) -> bool:
        """Whether the whole population has been started, as far as it will be."""
        return self._complete or self._founders >= self._population

    def _yields(self) -> bool:
        """Whether somebody waits for a slot who is less far."""
        return bool(self._paused) or not self._full()

    def _show(self, trial: TrialId, step: int, score: float) -> None:
        if self._starts.pop(trial, None) is not None:
            self._barren = 0
        points = self._shown.setdefault(trial, {})
        before = max(points, default=step)
        if before < step and WORST not in (points[before], score):
            gained = Interval(self._configs[trial], before, step, points[before], score)
            self._explorer.learn(gained)
        points[step] = score
        shared = min(max(self._shown.get(each, {0: WORST}), default=0) for each in self._configs)
        for each in self._shown.values():  # nobody will be compared at a rung that all have passed
            for old in [at for at in each if at < shared]:
                del each[old]

    def _beats(self, one: TrialId, other: TrialId) -> bool | None:
        """Whether `one` was better at the last rung that both have shown; None: there is none.

        The elder wins a tie.
        """
        met = self._met(one, other)
        return None if met is None else (met[0], one) < (met[1], other)

    def _met(self, one: TrialId, other: TrialId) -> tuple[float, float] | None:
        """Their scores at the last rung that both have shown; None: there is none."""
        ours, theirs = self._shown[one], self._shown[other]
        at = max(ours.keys() & theirs.keys(), default=None)
        return None if at is None else (ours[at], theirs[at])

    def _standing(self, trial: TrialId) -> tuple[int, int]:
        """Its rank, from 1, and among how many."""
        met = [self._beats(each, trial) for each in self._shown if each != trial]
        return 1 + met.count(True), 1 + len(met) - met.count(None) + len(self._vacant)

    def _donors(self, loser: TrialId | None = None) -> list[TrialId]:
        """The best that can be copied, by id; of a `loser`, those that are strictly better."""
        found = []
        for trial in sorted(self._shown.keys() & self._saved.keys() - {loser}):
            met = self._met(trial, loser) if loser is not None else (0.0, 1.0)
            if met is not None and met[0] >= met[1]:
                continue
            points = self._shown[trial]
            if not points or points[max(points)] == WORST:
                continue
            rank, peers = self._standing(trial)
            if rank <= max(1, int(peers * self._quantile)):
                found.append(trial)
        return found

    def state(self) -> dict[str, Any]:
        """The population, as plain JSON data."""
        return {
            "configs": self._configs,
            "shown": {trial: list(map(list, p.items())) for trial, p in self._shown.items()},
            "saved": self._saved,
            "starts": self._starts,
            "begun": self._begun,
            "paused": self._paused,
            "vacant": self._vacant,
            "barren": self._barren,
            "founders": self._founders,
            "complete": self._complete,
            "explorer": self._explorer.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._configs = {trial: dict(config) for trial, config in state["configs"].items()}
        self._shown = {trial: dict(map(tuple, points)) for trial, points in state["shown"].items()}
        self._saved, self._starts = dict(state["saved"]), dict(state["starts"])
        self._begun = dict(state.get("begun", self._starts))  # 0.1 did not keep it
        self._paused, self._vacant = dict(state["paused"]), list(state["vacant"])
        self._barren = state["barren"]
        self._founders, self._complete = state["founders"], state["complete"]
        self._explorer.load(state["explorer"])
