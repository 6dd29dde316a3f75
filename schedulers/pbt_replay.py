"""Trains one trial along a schedule that population based training has found.

The schedule is a list of segments, `{from_step: 0, config: {...}}` first. At each later segment's
step the trial pauses, which writes its checkpoint, and a child with the segment's config goes on
from there: so every trial has one config, as everywhere.

`raysweep schedule` prints the schedule of a sweep that is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raysweep.schedulers.base import Fork, Promotion
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, Stop
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.options import is_whole
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId

_STRAY = "pbt_replay: its config is not the schedule's first; give the searcher that one as point"


class Segment(NamedTuple):
    """From `from_step` on, training goes by `config`."""

    from_step: int
    config: dict[str, Any]


def segments(written: Any) -> list[Segment]:
    """The schedule that an option holds.

    Raises:
        SpecError: it is none; the message says what of it is wrong.
    """
    if not isinstance(written, (list, tuple)) or not written:
        raise SpecError("it must be a list of segments, {from_step: 0, config: {...}} the first")
    found = [_segment(each) for each in written]
    steps = [segment.from_step for segment in found]
    if steps[0] != 0 or steps != sorted(set(steps)):
        raise SpecError(f"from_step must be 0 in the first segment and ascend; it is {steps}")
    return found


def _segment(written: Any) -> Segment:
    named = isinstance(written, Mapping) and written.keys() == {"from_step", "config"}
    if not named or not isinstance(written["config"], Mapping):
        raise SpecError(f"{written!r} is no segment; write {{from_step: 0, config: {{...}}}}")
    if not is_whole(written["from_step"]):
        raise SpecError(f"from_step is {written['from_step']!r}; it must be a whole number")
    return Segment(written["from_step"], dict(written["config"]))


def schedule_amiss(options: Mapping[str, Any]) -> str:
    """What is wrong with the options, as the catalogue asks; "" for nothing."""
    try:
        last = segments(options["schedule"])[-1].from_step
    except SpecError as error:
        return f"schedule: {error}"
    if options["max_t"] is None or last < options["max_t"]:
        return ""
    return (
        f"the last segment begins at step {last}, and max_t is {options['max_t']}; raise max_t, or "
        f"leave the segment out"
    )


class PbtReplay:
    """The schedule, and how far along it the one trial and its children are.

    Args:
        setting: its space and budget are checked against the schedule.
        schedule: as `segments` reads it.
        max_t: the step at which the last one is complete; None: when its training code ends.

    Raises:
        SpecError: a config is not of the space, or the budget is not one trial.
    """

    def __init__(self, setting: Setting, *, schedule: Any, max_t: int | None) -> None:
        assert setting.space is not None  # the catalogue has asked
        if setting.trials != 1:
            raise SpecError(
                f"scheduler pbt_replay: it trains one trial along the schedule, and the budget is "
                f"{setting.trials} trials; give budget: {{trials: 1}}"
            )
        self._segments = segments(schedule)
        for segment in self._segments:
            try:
                setting.space.check(segment.config)
            except SpaceError as error:
                raise SpecError(
                    f"scheduler pbt_replay: schedule, from step {segment.from_step}: {error}"
                ) from None
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._place: dict[TrialId, int] = {}  # trial → its segment
        self._waiting: TrialId | None = None  # pauses until its checkpoint is there
        self._ready = False
        self._strays: list[TrialId] = []  # those whose config is none of the schedule

    def grant(self, trial: TrialId, config: Config) -> int:
        """To the end of its segment; one step if it has not the config of the first."""
        place = self._place.setdefault(trial, 0)
        if dict(config) == self._segments[place].config:
            return self._end(place)
        self._strays.append(trial)
        return 1

    def on_report(self, report: Report) -> Decision:
        """Pause where the schedule changes, finish at max_t."""
        place = self._place[report.trial]
        why = Reason("pbt_replay", report.step, report.score)
        if report.trial in self._strays:
            return Stop(why._replace(rule=_STRAY))
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        if report.step < self._end(place):
            return CONTINUE
        if report.score == WORST:
            return Stop(why)
        self._waiting = report.trial
        return Pause(why)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody: a child goes on."""
        return None

    def saved(self, trial: TrialId, step: int) -> None:
        """If it is the checkpoint that is waited for, a child is due."""
        if trial == self._waiting and step == self._end(self._place[trial]):
            self._ready = True

    def next_fork(self, trial: TrialId) -> Fork | None:
        """The trial of the next segment."""
        if not self._ready or self._waiting is None:
            return None
        parent, self._waiting, self._ready = self._waiting, None, False
        place = self._place[trial] = self._place[parent] + 1
        return Fork(parent, self._segments[place].config, {"segment": place})

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """It goes no further."""
        self._place.pop(trial, None)
        if trial == self._waiting:
            self._waiting, self._ready = None, False

    def _end(self, place: int) -> int:
        following = self._segments[place + 1 : place + 2]
        return following[0].from_step if following else self._max_t

    def state(self) -> dict[str, Any]:
        """The place of each trial, as plain JSON data."""
        return {
            "place": self._place,
            "waiting": self._waiting,
            "ready": self._ready,
            "strays": self._strays,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._place = dict(state["place"])
        self._waiting, self._ready = state["waiting"], state["ready"]
        self._strays = list(state["strays"])
