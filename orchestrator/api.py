"""The Python front door: `raysweep.run`, `raysweep.resume`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.orchestrator.rebuild import Objects
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.schedulers.base import Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials.errors import SweepFailed

if TYPE_CHECKING:
    from raysweep.results.read import Results

_SUCCESSES = ("COMPLETED", "STOPPED", "PAUSED")
Train = str | Callable[..., Any] | type[Any]


def run(
    trainable: Train,
    space: Mapping[str, Any],
    *,
    metric: str | None = None,
    mode: str = "min",
    metrics: Mapping[str, str] | None = None,
    trials: int | None = None,
    searcher: str | Mapping[str, Any] | Searcher | None = None,
    scheduler: str | Mapping[str, Any] | Scheduler | None = None,
    method: str | Mapping[str, Any] | None = None,
    constraints: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    name: str = "sweep",
    storage: str | Path = "./sweeps",
    seed: int = 0,
    progress: bool = True,
    **spec: Any,
) -> Results:
    """Run a sweep and return its results.

    Args:
        trainable: a generator function `train(config)` that yields metrics, a `Trainable` class,
            or `"module:name"` of either.
        space: parameter name → distribution (`loguniform(1e-4, 1e-1)`, `choice([...])`, …), a fixed
            value, or a nested group.
        metric, mode: what ranks trials, `min` or `max`; or `metrics`, several with their modes.
        trials: how many to run; the same as `budget={"trials": …}`.
        searcher, scheduler: a name, `{"name": …, option: value}`, or an object of your own
            (`raysweep.searchers.base`, `raysweep.schedulers.base`); None: random and fifo.
        method: in the place of both, e.g. `{"name": "hyper_tune", "max_t": 81}`.
        constraints: expressions over parameters that every config must satisfy.
        resources: what a trial holds, e.g. `{"cpu": 1, "gpu": 0.25}`.
        budget: limits: trials, steps, wall_time, gpu_hours.
        name, storage: the sweep goes to `storage/name`.
        seed: of every random draw.
        progress: show live progress on the terminal.
        spec: any further key of a spec (docs/spec.md), e.g. `retries`, `cluster`, or
            `confirm={"top": 5, "seeds": 3}`.

    Returns:
        The results as tables; `.best()` is the best report.

    Raises:
        SpecError: something is wrong with the arguments; nothing was started.
        ClusterError, StoreError: as `Sweep.run`.
        SweepFailed: trials failed and none succeeded; the message has the first failure.

    Example:
        >>> import raysweep
        >>> def train(config):
        ...     for step in range(10):
        ...         yield {"loss": (config["x"] - 2) ** 2 / (step + 1)}
        >>> results = raysweep.run(
        ...     train, {"x": raysweep.uniform(-5, 5)}, metric="loss", mode="min", trials=20
        ... )                                                               # doctest: +SKIP
        >>> results.best().config                                           # doctest: +SKIP
        {'x': 2.03}
    """
    limits = dict(budget or {})
    if trials is not None:
        limits["trials"] = trials
    goal: dict[str, Any] = {"metrics": dict(metrics)} if metrics else {"mode": mode}
    if metric is not None:
        goal["metric"] = metric
    written = {
        **spec, **goal,
        "name": name, "trainable": trainable, "space": space, "constraints": list(constraints),
        **_chosen(searcher, scheduler, method), "budget": limits,
        "resources": dict(resources or {}), "storage": str(storage), "seed": seed,
    }  # fmt: skip
    checked = SweepSpec.from_dict(written)
    train = None if isinstance(trainable, str) else trainable
    objects = _objects(searcher, scheduler)
    return _drive(Sweep.create(checked, train=train, objects=objects), progress)


def resume(
    path: str | Path,
    *,
    trainable: Callable[..., Any] | type[Any] | None = None,
    searcher: Searcher | None = None,
    scheduler: Scheduler | None = None,
    changes: Mapping[str, Any] | None = None,
    take_over: bool = False,
    folder: str | Path | None = None,
    accept_code_change: bool = False,
    retry: Sequence[str] | None = None,
    progress: bool = True,
) -> Results:
    """Go on with a sweep that was interrupted, killed, or has run out of budget.

    Args:
        path: the sweep directory.
        trainable: the training code again, if it was given as an object.
        searcher, scheduler: fresh ones of the same kind, if they were given as objects; what
            they knew is told to them again from the journal.
        changes: dotted keys of the spec to set anew, e.g. `{"budget.trials": 100}`.
        take_over: fence off a driver that is still at work.
        folder: where the training code (`"module:name"`, a program) is, if not where it was.
        accept_code_change: go on with other training code though the spec forbids it.
        retry: failed trials that get another attempt, by id; empty: all of them.
        progress: show live progress on the terminal.

    Raises:
        StoreBusy, StoreFormatError, SpecError, ClusterError: as `Sweep.reopen` and `Sweep.run`.
    """
    sweep = Sweep.reopen(
        Path(path),
        train=trainable,
        objects=Objects(searcher, scheduler),
        changes=changes,
        take_over=take_over,
        folder=None if folder is None else Path(folder),
        accept_code_change=accept_code_change,
        retry=retry,
    )
    for note in sweep.notes:
        warnings.warn(note, stacklevel=2)
    return _drive(sweep, progress)


def retry(path: str | Path, trials: Sequence[str] = (), **options: Any) -> Results:
    """Go on with a sweep, giving trials that have failed another attempt: the code was mended.

    The searcher learnt that they failed and is not told otherwise; the scheduler grants them steps
    as it does new trials. A trial goes on from its last checkpoint where the first grant reaches
    beyond it, else from scratch. Budgets of trials do not count them again, those of steps do.

    Args:
        path: the sweep directory.
        trials: ids of failed trials; none: all that have failed.
        options: further arguments of `resume`.

    Raises:
        SpecError: a trial of that id does not exist or has not failed.
        StoreBusy, StoreFormatError, ClusterError, SweepFailed: as `resume`.
    """
    return resume(path, retry=list(trials), **options)


def _chosen(searcher: Any, scheduler: Any, method: Any) -> dict[str, Any]:
    """Who proposes and who decides, as a spec has them."""
    given = {"searcher": searcher, "scheduler": scheduler, "method": method}
    chosen = {key: value for key, value in given.items() if value is not None}
    return chosen if method is not None else {"searcher": "random", "scheduler": "fifo", **chosen}


def _objects(searcher: Any, scheduler: Any) -> Objects:
    """Those of the two that are no names."""
    named = (str, Mapping, type(None))
    return Objects(
        None if isinstance(searcher, named) else searcher,
        None if isinstance(scheduler, named) else scheduler,
    )


def _drive(sweep: Sweep, progress: bool) -> Results:
    import signal

    from raysweep.orchestrator.live_view import live_view
    from raysweep.results.read import read

    with live_view(sweep, quiet=not progress) as observe:
        closed = sweep.run(observe=observe)
    if closed.reason in ("interrupted: SIGTERM", "interrupted: SIGHUP"):
        name = closed.reason.removeprefix("interrupted: ")
        signal.raise_signal(
            signal.Signals[name]
        )  # who asked the process to end did not mean one sweep
    results = read(sweep.path)
    _check_any_success(results)
    return results


def _check_any_success(results: Results) -> None:
    """Refuse results in which every trial that came to an end has failed.

    Raises:
        SweepFailed: with the first failure, and the file that has its traceback.
    """
    from raysweep.orchestrator.panel import error_file

    counts = results.status()["trials"]
    if not counts.get("FAILED") or any(counts.get(word) for word in _SUCCESSES):
        return
    rows = results.arrow("attempts").to_pylist()
    failed = [row for row in rows if row["error_class"] is not None]
    since = results.opened.at if results.opened else 0.0
    own = (row for row in failed if row["started_at"] >= since)  # of this driver, if any has
    first = next(own, failed[0])
    file = error_file(results.path, first["trial_id"], first["attempt"])
    raise SweepFailed(
        f"{results.status()['reason']}. The first failure, of trial {first['trial_id']}: "
        f"{first['message']}. Its traceback is in {file}; mend the code, then "
        f"raysweep.retry({str(results.path)!r}) runs what failed again",
        str(results.path),
    )
