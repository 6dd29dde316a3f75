"""`from raysweep import tune` in the place of `from ray import tune`.

Everything that `ray.tune` offers, under its own name and meaning, but for:

| name | what it is here |
|---|---|
| `Tuner`, `ResultGrid` | raysweep's: the sweep runs in raysweep's loop |
| `ASHAScheduler`, `AsyncHyperBandScheduler`, `PromotionASHAScheduler`, `HyperBandScheduler`, `MedianStoppingRule`, `FIFOScheduler` | our schedulers, for stock `ray.tune.Tuner` and for ours |
| `TuneScheduler` | any other of them by its name in a spec |
| `AutoSearch`, `GPSearch`, `TPESearch`, `BOHBSearch`, `MobsterSearch`, `HyperTuneSearch`, `TransferSearch`, `PriorSearch`, `CMAESSearch`, `DESearch`, `EvolutionSearch`, `NSGA2Search`, `RandomSearch`, `GridSearch`, `SobolSearch`, `LHSSearch` | our searchers, for both as well |
| `ParquetCallback` | raysweep's tables for a run of stock Ray Tune |
| `TuneSpace` | translates a `param_space` |

`python -m raysweep.tune SCRIPT [ARGUMENTS]` runs a script of Ray Tune's, unchanged, with our
`Tuner` in the place of Tune's.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysweep.orchestrator.tune_results import ResultGrid as ResultGrid
    from raysweep.orchestrator.tuner import Tuner as Tuner
    from raysweep.results.tune import ParquetCallback as ParquetCallback
    from raysweep.schedulers.tune import ASHAScheduler as ASHAScheduler
    from raysweep.schedulers.tune import AsyncHyperBandScheduler as AsyncHyperBandScheduler
    from raysweep.schedulers.tune import FIFOScheduler as FIFOScheduler
    from raysweep.schedulers.tune import HyperBandScheduler as HyperBandScheduler
    from raysweep.schedulers.tune import MedianStoppingRule as MedianStoppingRule
    from raysweep.schedulers.tune import PromotionASHAScheduler as PromotionASHAScheduler
    from raysweep.schedulers.tune import TuneScheduler as TuneScheduler
    from raysweep.searchers.tune import AutoSearch as AutoSearch
    from raysweep.searchers.tune import BOHBSearch as BOHBSearch
    from raysweep.searchers.tune import CMAESSearch as CMAESSearch
    from raysweep.searchers.tune import DESearch as DESearch
    from raysweep.searchers.tune import EvolutionSearch as EvolutionSearch
    from raysweep.searchers.tune import GPSearch as GPSearch
    from raysweep.searchers.tune import GridSearch as GridSearch
    from raysweep.searchers.tune import HyperTuneSearch as HyperTuneSearch
    from raysweep.searchers.tune import LHSSearch as LHSSearch
    from raysweep.searchers.tune import MobsterSearch as MobsterSearch
    from raysweep.searchers.tune import NSGA2Search as NSGA2Search
    from raysweep.searchers.tune import PriorSearch as PriorSearch
    from raysweep.searchers.tune import RandomSearch as RandomSearch
    from raysweep.searchers.tune import SobolSearch as SobolSearch
    from raysweep.searchers.tune import TPESearch as TPESearch
    from raysweep.searchers.tune import TransferSearch as TransferSearch
    from raysweep.searchers.tune_space import TuneSpace as TuneSpace

_HOME = {
    "ResultGrid": "raysweep.orchestrator.tune_results",
    "Tuner": "raysweep.orchestrator.tuner",
    "ParquetCallback": "raysweep.results.tune",
    "ASHAScheduler": "raysweep.schedulers.tune",
    "AsyncHyperBandScheduler": "raysweep.schedulers.tune",
    "FIFOScheduler": "raysweep.schedulers.tune",
    "HyperBandScheduler": "raysweep.schedulers.tune",
    "MedianStoppingRule": "raysweep.schedulers.tune",
    "PromotionASHAScheduler": "raysweep.schedulers.tune",
    "TuneScheduler": "raysweep.schedulers.tune",
    "AutoSearch": "raysweep.searchers.tune",
    "BOHBSearch": "raysweep.searchers.tune",
    "CMAESSearch": "raysweep.searchers.tune",
    "DESearch": "raysweep.searchers.tune",
    "EvolutionSearch": "raysweep.searchers.tune",
    "GPSearch": "raysweep.searchers.tune",
    "GridSearch": "raysweep.searchers.tune",
    "HyperTuneSearch": "raysweep.searchers.tune",
    "LHSSearch": "raysweep.searchers.tune",
    "MobsterSearch": "raysweep.searchers.tune",
    "NSGA2Search": "raysweep.searchers.tune",
    "PriorSearch": "raysweep.searchers.tune",
    "RandomSearch": "raysweep.searchers.tune",
    "SobolSearch": "raysweep.searchers.tune",
    "TPESearch": "raysweep.searchers.tune",
    "TransferSearch": "raysweep.searchers.tune",
    "TuneSpace": "raysweep.searchers.tune_space",
}
"""Every name that is ours and the module that defines it."""


def __getattr__(name: str) -> Any:
    """A name of ours, or else Ray Tune's (PEP 562)."""
    if name.startswith("__"):
        raise AttributeError(name)
    home = _HOME.get(name, "ray.tune")
    try:
        value = getattr(import_module(home), name)
    except AttributeError:
        raise AttributeError(
            f"neither raysweep.tune nor ray.tune has {name!r}; ours are {', '.join(sorted(_HOME))}"
        ) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOME, *import_module("ray.tune").__all__, "in_place_of_tune"})


@contextmanager
def in_place_of_tune() -> Iterator[None]:
    """Within this context `ray.tune.Tuner` is ours, whoever takes it from there."""
    places = [import_module("ray.tune"), import_module("ray.tune.tuner")]
    stock = [place.__dict__["Tuner"] for place in places]
    ours = __getattr__("Tuner")
    for place in places:
        place.__dict__["Tuner"] = ours
    try:
        yield
    finally:
        for place, before in zip(places, stock, strict=True):
            place.__dict__["Tuner"] = before


def _main(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        sys.exit("usage: python -m raysweep.tune SCRIPT [ARGUMENTS]\n\n" + (__doc__ or ""))
    sys.argv = arguments
    with in_place_of_tune():
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _main(sys.argv[1:])
