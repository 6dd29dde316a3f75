"""Soft ranking: whether the trials at a rung rank as they did at the rung below, but for noise.

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella: "PASHA: Efficient HPO and NAS with Progressive
Resource Allocation", ICLR 2023, arXiv:2207.06940, section 4.

    f_r(c)   the score of trial c at step r
    R, R'    the rung's step, and that of the rung below
    ε        two scores no further apart than this count as equal

The rankings agree if, place by place, the trial that is i-th at R had a score at R' within ε of
that of the trial that was i-th there. ε is measured: a pair whose curves have crossed at least
twice on the way, f_R(c) > f_R(c'), then f_k(c) < f_k(c') and f_l(c) > f_l(c') at earlier steps k > l,
cannot be told apart, and ε is the 90th percentile of |f_R(c) − f_R(c')| over all such pairs. While
there is none, ε stays what it was; at first it is 0.

The paper looks at all trials of the rung, which are few. Here the best `MOST` of them are looked
at, so that an arrival costs the same however many there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from raysweep.schedulers.interpolation import percentile_of
from raysweep.trials.trial import TrialId

MOST = 64
"""So many trials are compared."""
_NOISY = 90.0
"""The percentile of the distances of noisy pairs that ε is."""

Curve = dict[int, float]
"""Finite scores by step, ascending."""


class _Member(NamedTuple):
    """A trial at the rung: how it did here and below; `order` of arrival breaks ties."""

    score: float
    order: int
    below: float
    trial: TrialId
    curve: Curve


class SoftRanking:
    """The trials that came to one rung, against themselves a rung below."""

    def __init__(self) -> None:
        self.epsilon = 0.0
        self._step = 0
        self._members: list[_Member] = []  # the best, best first
        self._noise: dict[tuple[TrialId, TrialId], float] = {}  # pair → distance at the rung
        self._arrived = 0

    def enter(self, trial: TrialId, curve: Curve, step: int, below: int) -> bool:
        """A trial has come to the rung at `step`, `below` being that of the one below.

        Returns:
            Whether the rankings at both rungs agree, but for noise, which is measured again.
        """
        self._step = step
        new = _Member(curve[step], self._arrived, curve[below], trial, curve)
        self._arrived += 1
        if len(self._members) == MOST and new > self._members[-1]:
            return True  # who is compared stays as it was when they agreed
        self._measure(new)
        self._members = sorted([*self._members, new])
        for lost in self._members[MOST:]:
            self._noise = {p: d for p, d in self._noise.items() if lost.trial not in p}
        del self._members[MOST:]
        measured = percentile_of(sorted(self._noise.values()), _NOISY)
        self.epsilon = self.epsilon if measured is None else measured
        return self._agree()

    def _measure(self, new: _Member) -> None:
        """How far `new` is from those that it cannot be told from."""
        for other in self._members:
            if _crossed_twice(new.curve, other.curve, self._step):
                self._noise[other.trial, new.trial] = abs(new.score - other.score)

    def _agree(self) -> bool:
        """Whether each place is held by a trial that could have held it at the rung below."""
        below = sorted(self._members, key=lambda member: (member.below, member.order))
        return all(
            abs(here.below - there.below) <= self.epsilon
            for here, there in zip(self._members, below, strict=True)
        )

    def clear(self) -> None:
        """Go on at another rung, with the ε of this one."""
        self._members, self._noise, self._arrived = [], {}, 0

    def state(self) -> dict[str, Any]:
        """Who is compared, with what each has shown, and ε."""
        members = [[m.trial, m.order, m.score, m.below, points(m.curve)] for m in self._members]
        place = {"step": self._step, "arrived": self._arrived}
        return {"epsilon": self.epsilon, **place, "members": members}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; the distances follow from the curves."""
        self.epsilon, self._step, self._arrived = (
            state["epsilon"], state["step"], state["arrived"],
        )  # fmt: skip
        for trial, order, score, below, curve in state["members"]:
            member = _Member(score, order, below, trial, dict(curve))
            self._measure(member)
            self._members.append(member)


def points(curve: Curve) -> list[list[float]]:
    """A curve as JSON has it."""
    return [[step, score] for step, score in curve.items()]


def _crossed_twice(one: Curve, other: Curve, step: int) -> bool:
    """Whether two curves that differ at `step` have changed places at least twice before."""
    above, crossings = one[step] > other[step], 0
    if one[step] == other[step]:
        return False
    for earlier in reversed(one):
        if earlier < step and earlier in other and one[earlier] != other[earlier]:
            if (one[earlier] > other[earlier]) != above:
                above, crossings = not above, crossings + 1
            if crossings == 2:
                return True
    return False
