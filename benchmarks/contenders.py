"""Who takes part in the multi-fidelity benchmark: rules and searchers of ours, and the peers.

A contender is written RULE/SEARCHER. A rule of ours is a scheduler's name, with options as
`asha@form=stopping+reduction_factor=4`; `asha-stopping` stands for ASHA that stops. All rules end at
the recording's last step, and those with rungs begin at step 1 and keep a third, the peers' as well.

| peer | what it is |
|---|---|
| `ray-asha/…` | `ray.tune.schedulers.AsyncHyperBandScheduler` as a guest of our loop, without Ray; any searcher of ours |
| `ray-hyperband/…` | `ray.tune.schedulers.HyperBandScheduler`, likewise |
| `optuna-median/…` | Optuna's `MedianPruner`, `SuccessiveHalvingPruner`, `HyperbandPruner`, with its own sampler: |
| `optuna-halving/…` | `optuna-tpe`, with constant liar where several trials run, or `optuna-random`; in simulated time |
| `optuna-hyperband/…` | of their own |
| `synetune/…` | Syne Tune's `asha`, `asha-promotion`, `pasha`, `hyperband`, `dehb`, `bohb`, `mobster`, `hyper-tune`, `dyhpo`, in its own simulator |

Another peer is one more entry of `PEERS`: a function from a `Contest` and the searcher to a table as
`Finds` makes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from benchmarks.contest import Contest, Rule, Table, run_ours
from benchmarks.optuna_pruners import run_optuna
from benchmarks.synetune import METHODS, run_synetune
from raysweep.orchestrator.rebuild import Objects
from raysweep.orchestrator.spec_method import pair_amiss
from raysweep.schedulers.catalog import SCHEDULERS
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.names import nearest

ETA = 3
SHORT: dict[str, Rule] = {"asha-stopping": {"name": "asha", "form": "stopping"}}
"""Names of our rules beside those of the catalogue."""


def _ray_asha(contest: Contest) -> Any:
    from ray.tune.schedulers import AsyncHyperBandScheduler

    return AsyncHyperBandScheduler(
        time_attr="training_iteration",
        max_t=contest.on.max_t,
        grace_period=1,
        reduction_factor=ETA,
    )


def _ray_hyperband(contest: Contest) -> Any:
    from ray.tune.schedulers import HyperBandScheduler

    return HyperBandScheduler(
        time_attr="training_iteration", max_t=contest.on.max_t, reduction_factor=ETA
    )


def _guest(make: Callable[[Contest], Any]) -> Callable[[Contest, str], Table]:
    """A scheduler of Ray Tune's as a guest of our loop, with a searcher of ours."""

    def run(contest: Contest, searcher: str) -> Table:
        from raysweep.schedulers.tune_guest import TuneSchedulerGuest

        logging.getLogger("ray.tune.schedulers").setLevel(logging.WARNING)
        guest = TuneSchedulerGuest(make(contest), contest.on.goal, seed=contest.seed)
        return run_ours(contest, {}, searcher_of(searcher), Objects(scheduler=guest))

    return run


def _optuna(pruner: str) -> Callable[[Contest, str], Table]:
    return lambda contest, sampler: run_optuna(contest, pruner, sampler, ETA)


PEERS: dict[str, Callable[[Contest, str], Table]] = {
    "ray-asha": _guest(_ray_asha),
    "ray-hyperband": _guest(_ray_hyperband),
    "optuna-median": _optuna("median"),
    "optuna-halving": _optuna("halving"),
    "optuna-hyperband": _optuna("hyperband"),
    "synetune": lambda contest, method: run_synetune(contest, method, ETA),
}
OPTUNA_SAMPLERS = ("optuna-tpe", "optuna-random")


def run(contender: str, contest: Contest) -> Table:
    """The run of one contender."""
    rule, _, searcher = contender.partition("/")
    if rule in PEERS:
        return PEERS[rule](contest, searcher)
    return run_ours(
        contest, rule_of(rule, contest.on.max_t, contest.on.training_s), searcher_of(searcher)
    )


def check(contender: str) -> None:
    """Refuse what is no contender.

    Raises:
        ValueError: the rule or the searcher does not exist.
    """
    rule, slash, searcher = contender.partition("/")
    if not slash:
        raise ValueError(f"{contender!r} is no contender: write RULE/SEARCHER, e.g. asha/random")
    name = rule.partition("@")[0]
    if name not in PEERS and name not in SHORT and name not in SCHEDULERS:
        raise ValueError(f"no rule {name!r}; {nearest(name, [*SCHEDULERS, *SHORT, *PEERS])}")
    searchers = tuple(SEARCHERS)
    if name.startswith("optuna"):
        searchers = OPTUNA_SAMPLERS
    elif name == "synetune":
        searchers = METHODS
    if searcher.partition("@")[0] not in searchers:
        raise ValueError(f"{name} takes no searcher {searcher!r}; {nearest(searcher, searchers)}")
    if amiss := pair_amiss(searcher.partition("@")[0], name):
        raise ValueError(f"{contender}: {amiss}")


def rule_of(written: str, max_t: int, training_s: float = 0.0) -> Rule:
    """A rule of ours as a spec has it, with the recording's last step and η where it takes them.

    With `unit=seconds` the rungs are where those in steps are for a config of mean cost, whose full
    training takes `training_s`, but a second apart at least.
    """
    name, options = _read(written)
    rule = SHORT.get(name, {"name": name})
    known = SCHEDULERS[rule["name"]].options
    given = {"max_t": max_t, "reduction_factor": ETA}
    if options.get("unit") == "seconds":
        whole_s = max(1, round(training_s))
        given |= {"max_t": whole_s, "grace_period": max(1, round(training_s / max_t))}
    return {**rule, **{n: v for n, v in given.items() if n in known}, **options}


def searcher_of(written: str) -> Rule:
    """A searcher of ours as a spec has it."""
    name, options = _read(written)
    return {"name": name, **options}


def _read(written: str) -> tuple[str, dict[str, Any]]:
    name, _, given = written.partition("@")
    pairs = (pair.split("=") for pair in given.split("+") if pair)
    return name, {option: _value(value) for option, value in pairs}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
