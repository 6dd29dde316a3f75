"""A W&B `sweep.yaml` as a spec of ours, with an account of what became of each of its keys.

The keys are those of W&B's own schema (github.com/wandb/sweeps, `config/schema.json`) and of its
documentation (docs.wandb.ai/models/sweeps/sweep-config-keys).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.orchestrator.wandb_bracket import read_early_terminate
from raysweep.orchestrator.wandb_space import WandbSpace
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest

OWN = (
    "constraints", "searcher", "scheduler", "resources", "budget", "retries", "checkpoint",
    "timeouts", "cluster", "max_failed_share", "seed", "storage",
)  # fmt: skip
"""Keys of raysweep that may stand in such a file, or come by `--set`; they are taken as they are."""
_LEFT_OUT = {
    "description": "it has no place in a sweep directory",
    "controller": "raysweep is the controller",
    "settings": "W&B's own settings concern its servers",
    "apiVersion": "it changes nothing",
    "kind": "it changes nothing",
    "job": "a Launch job runs at W&B; raysweep runs the program",
    "image_uri": "raysweep starts no containers; the program runs where the trial runs",
    "launch": "raysweep runs the program itself",
}
_TRANSLATED = (
    "program", "command", "method", "metric", "metrics", "parameters", "early_terminate",
    "run_cap", "name", "project", "entity",
)  # fmt: skip
_METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_SEARCHERS = {"bayes": "gp", "random": "random", "grid": "grid"}
_GOALS = {"minimize": "min", "maximize": "max"}


class Note(NamedTuple):
    """What became of a key: `kind` is mapped, approximated or "not taken"."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Translation(NamedTuple):
    """A W&B sweep as `SweepSpec.from_dict` takes it, and the account."""

    spec: dict[str, Any]
    notes: tuple[Note, ...]


def is_wandb(written: Mapping[str, Any]) -> bool:
    """Whether a mapping is a W&B sweep and no spec of ours, by its shape."""
    if "trainable" in written or "space" in written:
        return False
    return "method" in written or isinstance(written.get("parameters"), Mapping)


def translate(written: Mapping[str, Any], folder: Path, here: Path) -> Translation:
    """The spec that a W&B sweep stands for.

    Args:
        written: the file's mapping.
        folder: where the file stands.
        here: the working directory, where the W&B agent would look for the program.

    Raises:
        SpecError: for what W&B would refuse, what raysweep cannot do, and for a sweep that nothing
            would end; each names the key and says what to do.
    """
    return _Reader(written, folder, here).translation()


class _Reader:
    def __init__(self, written: Mapping[str, Any], folder: Path, here: Path) -> None:
        self._written = {key: value for key, value in written.items() if value is not None}
        self._folder, self._here = folder, here
        self._notes: list[Note] = []
        self._names: dict[str, tuple[str, ...]] = {}

    def translation(self) -> Translation:
        self._check_keys()
        spec: dict[str, Any] = {**self._name(), "space": self._space(), **self._goal()}
        spec |= {"searcher": self._searcher(), **self._scheduler(), **self._budget()}
        spec |= {"program": self._program(), "timeouts": {"stuck": None}}
        self._mapped("a silent program is not killed, as in W&B → timeouts: {stuck: null}")
        for key in OWN:
            if key in self._written and not self._is_theirs(key):
                spec[key] = self._written[key]
        for key, why in _LEFT_OUT.items():
            if key in self._written:
                self._left_out(f"{key}: {why}")
        return Translation(spec, tuple(self._notes))

    def _mapped(self, text: str) -> None:
        self._notes.append(Note("mapped", text))

    def _near(self, text: str) -> None:
        self._notes.append(Note("approximated", text))

    def _left_out(self, text: str) -> None:
        self._notes.append(Note("not taken", text))

    def _is_theirs(self, key: str) -> bool:
        """Whether W&B's newer key `scheduler` (an engine of theirs) stands there, and not ours."""
        value = self._written.get(key)
        return key == "scheduler" and isinstance(value, Mapping) and "engine" in value

    def _check_keys(self) -> None:
        known = (*_TRANSLATED, *_LEFT_OUT, *OWN)
        for key in self._written:
            if key not in known:
                raise SpecError(
                    f"{key}: no key of a W&B sweep, which this file is by its method and "
                    f"parameters; {nearest(key, known)}"
                )
        if "metrics" in self._written or self._written.get("method") == "custom":
            raise SpecError(
                "method: custom (several metrics, an engine of yours) runs in W&B's own scheduler; "
                "write method: random, bayes or grid with one metric, or a spec of raysweep, which "
                "takes metrics: {loss: min, latency: min}"
            )
        if self._is_theirs("scheduler"):
            self._left_out("scheduler: the engine of W&B is replaced by raysweep's searchers")

    def _name(self) -> dict[str, Any]:
        name = self._written.get("name")
        if name is None:
            return {}
        short = re.sub(r"[^a-z0-9_-]+", "-", str(name).lower()).strip("-")[:64] or "sweep"
        if short != name:
            self._near(f"name: {name!r} → {short}, as the sweep's directory is called so")
        return {"name": short}

    def _space(self) -> dict[str, Any]:
        parameters = self._written.get("parameters")
        if not isinstance(parameters, Mapping) or not parameters:
            raise SpecError(
                f"parameters: got {parameters!r}; write {{lr: {{min: 0.001, max: 0.1}}}}"
            )
        read = WandbSpace(parameters)
        self._names = read.names
        self._mapped(f"parameters → space, {len(parameters)} of them")
        for flat, path in read.names.items():
            if flat.replace("/", ".") != ".".join(path):
                self._mapped(f"parameter {'.'.join(path)} is {flat.replace('/', '.')} in raysweep")
        for text in read.notes:
            self._near(text)
        return read.space

    def _goal(self) -> dict[str, Any]:
        metric = self._written.get("metric")
        metric = {"name": metric} if isinstance(metric, str) else metric
        if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
            raise SpecError(
                "metric: missing, and raysweep ranks trials by it; add metric: {name: val_loss, "
                "goal: minimize}, or --set metric.name=val_loss"
            )
        for key in metric:
            if key not in _METRIC_KEYS:
                raise SpecError(f"metric: it has no {key!r}; {nearest(key, _METRIC_KEYS)}")
        goal = metric.get("goal", "minimize")
        if goal not in _GOALS:
            raise SpecError(f"metric.goal: got {goal!r}; it may be minimize or maximize")
        name, mode = metric["name"], _GOALS[goal]
        self._mapped(f"metric: {name}, {goal} → metric: {name}, mode: {mode}")
        if "target" in metric:
            self._left_out("metric.target: no value ends a sweep; stop it, or give a budget")
        if "impute" in metric or "impute_while_running" in metric:
            self._left_out("metric.impute: a trial without the metric ranks last")
        return {"metric": name, "mode": mode}

    def _searcher(self) -> str:
        method = self._written.get("method", "random")
        if method not in _SEARCHERS:
            raise SpecError(f"method: got {method!r}; {nearest(method, _SEARCHERS)}")
        if "searcher" in self._written:
            self._left_out(f"method: {method}, as the file names a searcher of raysweep")
        else:
            self._mapped(f"method: {method} → searcher {_SEARCHERS[method]}")
        return _SEARCHERS[method]

    def _scheduler(self) -> dict[str, Any]:
        early = self._written.get("early_terminate")
        if early is None:
            return {}
        if "scheduler" in self._written and not self._is_theirs("scheduler"):
            self._left_out("early_terminate, as the file names a scheduler of raysweep")
            return {}
        scheduler, text = read_early_terminate(early)
        self._near(f"early_terminate: {text}")
        return {"scheduler": scheduler}

    def _budget(self) -> dict[str, Any]:
        cap, method = self._written.get("run_cap"), self._written.get("method")
        if cap is not None:
            if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
                raise SpecError(f"run_cap: got {cap!r}; it must be a whole number, 1 or more")
            self._mapped(f"run_cap: {cap} → budget: {{trials: {cap}}}")
            return {"budget": {"trials": cap}}
        if method != "grid" and not self._written.get("budget"):
            raise SpecError(
                f"run_cap: missing, and nothing else ends a sweep by {method} (W&B goes on until "
                f"someone stops it); add run_cap: 50, or --set run_cap=50"
            )
        return {}

    def _program(self) -> dict[str, Any]:
        file, command = self._written.get("program"), self._written.get("command")
        if file is None and command is None:
            launch = next((key for key in ("job", "image_uri") if key in self._written), None)
            what = f"{launch} is run by W&B Launch" if launch else "nothing says what to run"
            raise SpecError(
                f"program: missing, and {what}; name the training script, program: train.py"
            )
        program: dict[str, Any] = {}
        if file is not None:
            program["file"] = str(file)
        if command is not None:
            program["command"] = command
            self._mapped("command → program.command, with W&B's macros")
        if self._names:
            program["names"] = {flat: list(path) for flat, path in self._names.items()}
        if place := self._place(str(file)):
            program["folder"] = place
        self._mapped(f"program: {file or 'in command'} → program, one process for each trial")
        variables = {
            f"WANDB_{key.upper()}": str(self._written[key])
            for key in ("project", "entity")
            if key in self._written
        }
        if variables:
            program["environment"] = variables
            self._near(
                f"{' and '.join(variables)} set for the program; its runs stay offline unless "
                f"WANDB_MODE says otherwise, and the sweep itself is not shown at W&B"
            )
        return program

    def _place(self, file: str) -> str | None:
        """Where the program runs if that is not the file's own folder."""
        if (self._folder / file).is_file() or not (self._here / file).is_file():
            return None
        place = os.path.relpath(self._here.resolve(), self._folder.resolve())
        self._mapped(f"program: {file} stands in the working directory, and runs there")
        return place
