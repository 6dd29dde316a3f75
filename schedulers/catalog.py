"""The schedulers by name: what `scheduler:` in a spec may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.schedulers import around
from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.brackets import of_asha, of_hyperband
from raysweep.schedulers.curve import CURVE_OPTIONS, CurveForecasts, curve_rungs
from raysweep.schedulers.dehb import Dehb
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.hyper_tune import HyperTune
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.median import MedianStopping
from raysweep.schedulers.mo_asha import MoAsha
from raysweep.schedulers.pasha import Pasha
from raysweep.schedulers.patience import Patience
from raysweep.schedulers.pb2 import of_pb2
from raysweep.schedulers.pbt import Pbt
from raysweep.schedulers.pbt_replay import PbtReplay, schedule_amiss
from raysweep.schedulers.percentile import PercentileStopping
from raysweep.schedulers.plateau import Plateau
from raysweep.schedulers.population import (
    PERTURBATION,
    POPULATION,
    SCHEDULE,
    WANTS,
    interval_amiss,
)
from raysweep.schedulers.rungs import reached_steps, rung_steps
from raysweep.schedulers.setting import UNKNOWN, Setting
from raysweep.schedulers.threshold import Threshold, bound, bounds_amiss
from raysweep.schedulers.units import STEPS, check_unit, unit_of
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.names import nearest
from raysweep.trials.options import (
    Option,
    check_options,
    count,
    is_number,
    number,
    word,
)
from raysweep.trials.trial import UNBOUNDED

_Options = Mapping[str, Any]


def _nothing_amiss(options: _Options) -> str:
    return ""


class Entry(NamedTuple):
    """One scheduler: what it is for, what it takes, how it is made.

    Attributes:
        summary, options: what it is for, and what may be given.
        build: makes it from all of its options.
        amiss: what is wrong with options that are each allowed, "" for nothing.
        wants: what `build` must know of the sweep, attributes of a `Setting`, and why; if anything,
            it takes the setting before the options.
        looks: it takes the setting all the same, though it can do without any of it.
        least_metrics: so many must be optimised.
        around: options that schedulers around the rule see to.
    """

    summary: str
    options: Mapping[str, Option]
    build: Callable[..., Scheduler]
    amiss: Callable[[_Options], str] = _nothing_amiss
    wants: Mapping[str, str] = {}
    looks: bool = False
    least_metrics: int = 1
    around: Mapping[str, Option] = around.AUDIT


_MAX_T = count()
_COMPARED = {
    "max_t": _MAX_T,
    "grace_period": count(1),
    "interval": count(1),
    "min_trials": count(3),
}
_SMOOTHING = "a number from 0 to below 1"


def _smoothing(default: float) -> Option:
    return Option(_SMOOTHING, lambda v: is_number(v) and 0 <= v < 1, default)


def _least_improvement() -> Option:
    return Option("a number, 0 or more", lambda v: is_number(v) and v >= 0, 0.0)


def _never(option: str) -> Callable[[_Options], str]:
    """Complains where `option`, in steps, is so long that no trial could ever be stopped."""

    def amiss(options: _Options) -> str:
        steps, max_t = options[option], options["max_t"]
        if max_t is None or steps + 1 < max_t:
            return ""
        return (
            f"{option} {steps} is over at step {steps + 1} at the earliest, and max_t is {max_t}: "
            f"nothing could be stopped; lower {option}"
        )

    return amiss


def _asha(form: str, brackets: int, **options: Any) -> Scheduler:
    kind = PromotionAsha if form == "promotion" else StoppingAsha
    return kind(**options) if brackets == 1 else of_asha(kind, brackets=brackets, **options)


def _hyperband(form: str, **options: int) -> Scheduler:
    return HyperBand(**options) if form == "synchronous" else of_hyperband(**options)


def _brackets_amiss(options: _Options) -> str:
    grace, factor, max_t = (options[o] for o in ("grace_period", "reduction_factor", "max_t"))
    possible = len(rung_steps(grace, UNBOUNDED if max_t is None else max_t, factor)) + 1
    if options["brackets"] <= possible:
        return ""
    return (
        f"brackets is {options['brackets']}, and from grace_period {grace} to max_t {max_t} there "
        f"is room for {possible}, each beginning {factor} times as late as the one before; lower it"
    )


SCHEDULERS: dict[str, Entry] = {
    "fifo": Entry("every trial runs to its end", {"max_t": _MAX_T}, Fifo, around=around.UNIT),
    "median": Entry(
        "stops a trial whose best is worse than the median of the others' averages",
        _COMPARED,
        MedianStopping,
    ),
    "percentile": Entry(
        "stops a trial whose best is worse than a percentile of what the others have shown",
        {
            **_COMPARED,
            "percentile": number(25.0, 0, 100),
            "against": word("bests", "bests", "averages"),
        },
        PercentileStopping,
    ),
    "threshold": Entry(
        "stops a trial whose value is beyond a bound",
        {
            "lower": bound(),
            "upper": bound(),
            "max_t": _MAX_T,
            "grace_period": count(1),
            "interval": count(1),
        },
        Threshold.of,
        bounds_amiss,
        wants={
            "goal": "its bounds are in the metric's unit, so it must know which way that is better"
        },
    ),
    "plateau": Entry(
        "stops a trial whose smoothed curve has become flat",
        {
            "max_t": _MAX_T,
            "grace_period": count(1),
            "interval": count(1),
            "window": count(4),
            "tolerance": _least_improvement(),
            "smoothing": _smoothing(0.5),
        },
        Plateau,
        _never("window"),
    ),
    "patience": Entry(
        "stops a trial that has not improved on its best for a number of steps",
        {
            "max_t": _MAX_T,
            "grace_period": count(1),
            "patience": count(5),
            "min_delta": _least_improvement(),
            "smoothing": _smoothing(0.0),
        },
        Patience,
        _never("patience"),
    ),
    "asha": Entry(
        "asynchronous successive halving: gives the best 1/reduction_factor at each rung more",
        {
            "max_t": _MAX_T,
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
            "form": word("promotion", "promotion", "stopping"),
            "brackets": count(1),
        },
        _asha,
        _brackets_amiss,
        around=around.JUDGED,
    ),
    "mo_asha": Entry(
        "asha for several metrics: gives the best compromises at each rung more",
        {
            "max_t": _MAX_T,
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
            "form": word("promotion", "promotion", "stopping"),
        },
        MoAsha,
        wants={"goal": "it compares trials in all metrics, so it must know them"},
        least_metrics=2,
        around=around.JUDGED_IN_ALL,
    ),
    "pasha": Entry(
        "asha that trains no longer than it takes to rank the trials",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
        },
        Pasha,
        around=around.JUDGED,
    ),
    "hyper_tune": Entry(
        "asha whose brackets are drawn by how well each rung has ranked the trials so far",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
        },
        HyperTune.of,
        wants={"seed": "it draws a bracket for each trial, so it must know the seed"},
    ),
    "dehb": Entry(
        "every trial at the fidelity that HyperBand's brackets have for it; for the searcher dehb",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
        },
        Dehb,
    ),
    "curve": Entry(
        "goes on with the trial whose curve promises most for its cost, by a model of all curves",
        CURVE_OPTIONS,
        CurveForecasts,
        looks=True,
    ),
    "hyperband": Entry(
        "brackets of successive halving, from many short trials to few long ones",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
            "form": word("synchronous", "synchronous", "asynchronous"),
        },
        _hyperband,
        around=around.JUDGED,
    ),
    "pbt": Entry(
        "replaces the worst of a population by changed copies of the best, as training goes on",
        {**POPULATION, **PERTURBATION},
        Pbt.of,
        interval_amiss,
        wants=WANTS,
    ),
    "pb2": Entry(
        "pbt that chooses a copy's numbers by a bandit, for small populations",
        POPULATION,
        of_pb2,
        interval_amiss,
        wants=WANTS,
    ),
    "pbt_replay": Entry(
        "trains one trial along a schedule that pbt or pb2 has found",
        SCHEDULE,
        PbtReplay,
        schedule_amiss,
        wants=WANTS,
    ),
}


def check_scheduler(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of scheduler `name`, defaults filled in; those around it if they change anything.

    Raises:
        SpecError: for a name, an option or a value that does not exist, with the nearest that does.
    """
    entry = SCHEDULERS.get(name)
    if entry is None:
        raise SpecError(f"scheduler: {name!r} is not one; {nearest(name, SCHEDULERS)}")
    filled = check_options("scheduler", name, options, {**entry.options, **entry.around})
    max_t, grace = filled.get("max_t"), filled.get("grace_period", 1)
    if max_t is not None and grace > max_t:
        raise SpecError(f"scheduler {name}: grace_period {grace} is beyond max_t {max_t}; lower it")
    if amiss := entry.amiss(filled) or around.amiss(filled):
        raise SpecError(f"scheduler {name}: {amiss}")
    quiet = {option for option, rule in entry.around.items() if filled[option] == rule.default}
    return {option: value for option, value in filled.items() if option not in quiet}


def check_goal(name: str, goal: Goal) -> None:
    """Refuse a scheduler that the metrics of a sweep are too few for.

    Raises:
        SpecError: saying how many it needs and what to do.
    """
    least, given = SCHEDULERS[name].least_metrics, [metric for metric, _ in goal.metrics]
    if len(given) < least:
        raise SpecError(
            f"scheduler {name}: it needs {least} metrics or more, and {', '.join(given)} is all that "
            f"is optimised; give metrics: {{{given[0]}: {goal.mode}, ...}}, or take asha"
        )


def build_scheduler(name: str, options: Mapping[str, Any], setting: Setting = UNKNOWN) -> Scheduler:
    """The scheduler `name` with `options`, checked.

    Args:
        name, options: as in a spec.
        setting: what is known of the sweep; few rules look at it.

    Raises:
        SpecError: as `check_scheduler`, `check_goal` and `check_unit`, and if the rule must know
            what is unknown.
    """
    checked = check_scheduler(name, options)
    entry = SCHEDULERS[name]
    for part, why in entry.wants.items():
        if getattr(setting, part) is None:
            raise SpecError(
                f"scheduler {name}: {why}; pass build_scheduler({name!r}, options, "
                f"raysweep.schedulers.setting.Setting({part}=...))"
            )
    if setting.goal is not None:
        check_goal(name, setting.goal)
    check_unit(name, checked, setting.goal, setting.prices)
    own = {option: value for option, value in checked.items() if option in entry.options}
    rule = entry.build(setting, **own) if entry.wants or entry.looks else entry.build(**own)
    return around.around(rule, checked, setting, setting.goal if entry.least_metrics > 1 else None)


_LADDERS = ("asha", "mo_asha", "pasha", "hyper_tune", "hyperband", "dehb")
_MANY = 1000
"""How many trials to reckon with where a spec does not say."""


def levels_of(written: Mapping[str, Any], trials: int | None = None) -> tuple[int, ...]:
    """The steps at which a scheduler compares trials, ascending, and its max_t behind them.

    Args:
        written: its name and options, as a spec has them.
        trials: how many there will be, if that is known. Where rungs go on without end, those
            count that so many trials reach.

    Returns:
        Nothing for schedulers without rungs, or with rungs that are no steps, and for Python
        objects.
    """
    grace, factor = written.get("grace_period", 1), written.get("reduction_factor", 3)
    max_t = written.get("max_t")
    if written.get("name") == "curve" and max_t is not None:
        return tuple(curve_rungs(grace, max_t, written.get("interval", 1)))
    if written.get("name") not in _LADDERS or unit_of(written) != STEPS:
        return ()
    if max_t is None:
        return tuple(reached_steps(grace, factor, trials or _MANY))
    if written["name"] not in ("hyperband", "dehb"):
        return (*rung_steps(grace, max_t, factor), max_t)
    shares = [max_t // step for step in rung_steps(1, max_t + 1, factor)]
    return tuple(sorted({step for step in shares if step >= grace}))
