"""Crash-safe, Ray-native hyperparameter sweeps on fractional GPUs, recorded in Parquet.

`import raysweep` is quick: Ray, torch and pandas are imported when something first needs them.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # the command line takes signals after this import, so it takes no time
if TYPE_CHECKING:
    from typing import Any

    __version__: str
    from raysweep.orchestrator.api import resume as resume
    from raysweep.orchestrator.api import retry as retry
    from raysweep.orchestrator.api import run as run
    from raysweep.orchestrator.audit import audit as audit
    from raysweep.orchestrator.learnt import learnt as learnt
    from raysweep.orchestrator.spec import SweepSpec as SweepSpec
    from raysweep.orchestrator.tuner import Tuner as Tuner
    from raysweep.results.read import Results as Results
    from raysweep.results.read import read as read
    from raysweep.schedulers.catalog import build_scheduler as build_scheduler
    from raysweep.searchers.catalog import build_searcher as build_searcher
    from raysweep.searchers.coverage import trials_needed as trials_needed
    from raysweep.searchers.setting import Setting as Setting
    from raysweep.trainables.base import Trainable as Trainable
    from raysweep.trials.errors import RaysweepError as RaysweepError
    from raysweep.trials.parameters import choice as choice
    from raysweep.trials.parameters import lograndint as lograndint
    from raysweep.trials.parameters import loguniform as loguniform
    from raysweep.trials.parameters import quniform as quniform
    from raysweep.trials.parameters import randint as randint
    from raysweep.trials.parameters import uniform as uniform
    from raysweep.trials.space import Space as Space

__all__ = [
    "RaysweepError", "Results", "Setting", "Space", "SweepSpec", "Trainable", "Tuner", "__version__", "audit", "build_scheduler",
    "build_searcher", "choice", "learnt", "lograndint", "loguniform", "quniform", "randint", "read", "resume",
    "retry", "run", "trials_needed", "uniform",
]  # fmt: skip

_HOME = {
    "resume": "raysweep.orchestrator.api",
    "retry": "raysweep.orchestrator.api",
    "run": "raysweep.orchestrator.api",
    "audit": "raysweep.orchestrator.audit",
    "learnt": "raysweep.orchestrator.learnt",
    "SweepSpec": "raysweep.orchestrator.spec",
    "Tuner": "raysweep.orchestrator.tuner",
    "Results": "raysweep.results.read",
    "read": "raysweep.results.read",
    "build_scheduler": "raysweep.schedulers.catalog",
    "build_searcher": "raysweep.searchers.catalog",
    "trials_needed": "raysweep.searchers.coverage",
    "Setting": "raysweep.searchers.setting",
    "Trainable": "raysweep.trainables.base",
    "RaysweepError": "raysweep.trials.errors",
    "Space": "raysweep.trials.space",
    "choice": "raysweep.trials.parameters",
    "lograndint": "raysweep.trials.parameters",
    "loguniform": "raysweep.trials.parameters",
    "quniform": "raysweep.trials.parameters",
    "randint": "raysweep.trials.parameters",
    "uniform": "raysweep.trials.parameters",
}
"""Every public name and the module that defines it."""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("raysweep")
    except PackageNotFoundError:  # sent to a Ray worker by py_modules, without its metadata
        return "0+unknown"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        return _version()
    if name == "tune":  # a module, not a name out of one
        return import_module("raysweep.tune")
    if name not in _HOME:
        raise AttributeError(f"module 'raysweep' has no attribute {name!r}; it has {__all__}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
