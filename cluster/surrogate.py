"""YAHPO Gym's surrogates: ONNX models fitted to millions of recorded trainings.

Pfisterer, Schneider, Moosbauer, Binder, Bischl: "YAHPO Gym", AutoML 2022, arXiv:2109.03670.
Inactive numbers are 0 to a model, inactive words `#na#`; `repl` counts repetitions, of which 10 is
what is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.trials.errors import SpecError
from raysweep.trials.space import Space

Config = Mapping[str, Any]


class Surrogate(NamedTuple):
    """One model: configs, instance and fidelities in, metrics out.

    Attributes:
        space: its hyperparameters, without instance, fidelity and repetition.
        instances: the tasks that it knows.
        outputs: the names of its metrics.
        time: which of them is the seconds that a training took.
        full: the fidelity of a full training.
        run: the metrics of a config by fidelity, shape (fidelities, outputs).
    """

    space: Space
    instances: tuple[str, ...]
    outputs: tuple[str, ...]
    time: str
    full: float
    run: Callable[[Config, str, Sequence[float]], npt.NDArray[np.float32]]

    def __call__(self, config: Config, instance: str) -> npt.NDArray[np.float32]:
        """The metrics of one fully trained config, shape (outputs,)."""
        row: npt.NDArray[np.float32] = self.run(config, instance, (self.full,))[0]
        return row


_RBV2 = ("acc", "bac", "auc", "brier", "f1", "logloss", "timetrain", "timepredict", "memory")
_KNOWN: dict[str, dict[str, Any]] = {
    "lcbench": {
        "outputs": (
            "time", "val_accuracy", "val_cross_entropy", "val_balanced_accuracy",
            "test_cross_entropy", "test_balanced_accuracy",
        ),
        "numbers": (
            "epoch", "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers",
            "max_units", "max_dropout",
        ),
        "words": ("OpenML_task_id",), "fidelity": ("epoch", 51.0), "time": "time",
    },
    "rbv2_xgboost": {
        "outputs": _RBV2,
        "numbers": (
            "nrounds", "eta", "gamma", "lambda", "alpha", "subsample", "max_depth",
            "min_child_weight", "colsample_bytree", "colsample_bylevel", "rate_drop", "skip_drop",
            "trainsize", "repl",
        ),
        "words": ("task_id", "booster", "num.impute.selected.cpo"),
        "fidelity": ("trainsize", 1.0), "time": "timetrain",
    },
    "rbv2_rpart": {
        "outputs": _RBV2,
        "numbers": ("cp", "maxdepth", "minbucket", "minsplit", "trainsize", "repl"),
        "words": ("task_id", "num.impute.selected.cpo"),
        "fidelity": ("trainsize", 1.0), "time": "timetrain",
    },
    "iaml_glmnet": {
        "outputs": (
            "mmce", "f1", "auc", "logloss", "ramtrain", "rammodel", "rampredict", "timetrain",
            "timepredict", "mec", "ias", "nf",
        ),
        "numbers": ("alpha", "s", "trainsize"), "words": ("task_id",),
        "fidelity": ("trainsize", 1.0), "time": "timetrain",
    },
}  # fmt: skip
"""Columns of each scenario's model, in its order; lcbench's epoch 52 is an odd one, so 51 is full."""


@lru_cache
def load_surrogate(folder: Path) -> Surrogate:
    """The model in `folder`, whose name says which scenario it is; it runs on one thread.

    Raises:
        SpecError: onnxruntime is not installed.
        FileNotFoundError: a file of it is not there.
    """
    known = _KNOWN[folder.name]
    facts = json.loads((folder / "config_space.json").read_text())
    codes = json.loads((folder / "encoding.json").read_text())
    fidelity, full = known["fidelity"]
    numbers, words = known["numbers"], known["words"]
    session = _session(folder / "model.onnx")

    def run(config: Config, instance: str, at: Sequence[float]) -> npt.NDArray[np.float32]:
        given = {**config, "repl": 10, words[0]: instance}
        named = {name: given.get(_plain(name), given.get(name)) for name in (*numbers, *words)}
        row = np.array([float(named[name] or 0) for name in numbers], np.float32)
        rows = np.tile(row, (len(at), 1))
        rows[:, numbers.index(fidelity)] = at
        code = [codes[n].get(str(named[n]), codes[n].get("#na#", 0)) for n in words]
        feed = {"x_cat": np.tile(np.array(code, np.int32), (len(at), 1)), "x_cont": rows}
        found: npt.NDArray[np.float32] = session.run(None, feed)[0]
        return found

    apart = {fidelity, words[0], "repl"}
    (instances,) = (f["choices"] for f in facts["hyperparameters"] if f["name"] == words[0])
    return Surrogate(
        _space(facts, apart), tuple(instances), known["outputs"], known["time"], full, run
    )


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise SpecError(
            "the surrogates of recorded trainings need onnxruntime, which is not installed: "
            "pip install raysweep[bench]"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options)


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _space(facts: dict[str, Any], apart: set[str]) -> Space:
    """A ConfigSpace file as a space; `apart` are no hyperparameters."""
    when: dict[str, dict[str, Any]] = {}
    for rule in facts["conditions"]:
        values = rule["values"] if rule["type"] == "IN" else [rule["value"]]
        when.setdefault(rule["child"], {})[rule["parent"]] = values
    written: dict[str, Any] = {}
    for fact in facts["hyperparameters"]:
        name = fact["name"]
        if name in apart:
            continue
        if fact["type"] == "categorical":
            law = {"choice": list(fact["choices"])}
        else:
            kind = "uniform" if fact["type"] == "uniform_float" else "randint"
            word = {"uniform": "loguniform", "randint": "lograndint"}[kind] if fact["log"] else kind
            law = {word: [fact["lower"], fact["upper"]]}
        written[_plain(name)] = law | ({"when": when[name]} if name in when else {})
    return Space.from_dict(written)
