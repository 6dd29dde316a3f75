"""The spec of a sweep: everything that it goes by, checked before anything is started."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from raysweep.orchestrator.code_identity import CodeChange
from raysweep.orchestrator.spec_goal import read_goal
from raysweep.orchestrator.spec_guard import outsized
from raysweep.orchestrator.spec_method import expand_method, pair_amiss
from raysweep.orchestrator.spec_parts import (
    BudgetSpec,
    CheckpointSpec,
    ClusterSpec,
    ConfirmSpec,
    Part,
    ResourcesSpec,
    RetriesSpec,
    TimeoutsSpec,
    Whole,
    problem,
    told,
)
from raysweep.orchestrator.spec_problems import problems_of, spec_error
from raysweep.orchestrator.spec_program import ProgramSpec, doubled, name_program, read_program
from raysweep.orchestrator.spec_secrets import secrets_in
from raysweep.orchestrator.wandb_file import Note, is_wandb, translate
from raysweep.orchestrator.yaml_file import read_yaml
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal, Mode
from raysweep.trials.space import Space

_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_TRAINABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|<(?:python|program):.+>")

_LONGEST_PATH = 3_000


def is_object(name: str) -> bool:
    """Whether a spec stands for something given from Python, which is not stored with it."""
    return name.startswith("<python:")


def _name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise problem(f"got {value!r}; use 1 to 64 lower-case letters, digits, - and _")
    return value


def _trainable(value: Any) -> Any:
    if callable(value):
        return f"<python:{getattr(value, '__qualname__', type(value).__qualname__)}>"
    if isinstance(value, str) and not _TRAINABLE.fullmatch(value):
        raise problem(
            f'got {value!r}; write "module:name", where module.py stands beside the spec and name '
            f"is a function or a class in it"
        )
    return value


def _space(value: Any) -> dict[str, Any]:
    return value.to_dict() if isinstance(value, Space) else told(Space.from_dict, value).to_dict()


def _constraints(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise problem(f'got {value!r}; write a list of expressions, e.g. ["lr * width <= 8"]')
    return tuple(value)


def _storage(value: Any) -> Any:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and any(len(part.encode()) > 255 for part in value.split("/")):
        raise problem(
            f"got {value[:40]!r}..., and the name of a folder is too long: 255 bytes are allowed"
        )
    if isinstance(value, str) and len(value.encode()) > _LONGEST_PATH:
        raise problem(
            f"got {value[:40]!r}..., which is too long; {_LONGEST_PATH:,} bytes are allowed"
        )
    if isinstance(value, str) and value.startswith("~"):
        try:
            Path(value).expanduser()
        except RuntimeError:
            raise problem(
                f"got {value!r}, and there is no home of that name; write the path out"
            ) from None
    if isinstance(value, str) and ("://" in value or not value.strip()):
        raise problem(f"got {value!r}; give a folder on a file system that the driver can reach")
    return value


def _chosen(value: Any, method: str) -> tuple[str, dict[str, Any]]:
    """Name and options from `asha` or `{name: asha, max_t: 27}`; an object has `method`."""
    if callable(getattr(value, method, None)) and not isinstance(value, type):
        return f"<python:{type(value).__qualname__}>", {}
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise problem(f"got {value!r}; write a name, or {{name: ..., option: value}}")
    return value["name"], {option: v for option, v in value.items() if option != "name"}


def _searcher(value: Any) -> dict[str, Any]:
    from raysweep.searchers.catalog import check_searcher

    name, options = _chosen(value, "ask")
    return {"name": name, **({} if is_object(name) else told(check_searcher, name, options))}


def _scheduler(value: Any) -> dict[str, Any]:
    from raysweep.schedulers.catalog import check_scheduler

    name, options = _chosen(value, "grant")
    return {"name": name, **({} if is_object(name) else told(check_scheduler, name, options))}


class SweepSpec(Part):
    """A sweep as it was asked for; YAML and Python give the same object.

    `searcher` and `scheduler` hold their name and all options, or `<python:...>` for objects; `metric` and `mode` name what ranks
    trials, `metrics` all that is optimised, that one included; `space` is in the one form that
    `Space.to_dict` writes.
    """

    name: Annotated[str, BeforeValidator(_name)] = "sweep"
    trainable: Annotated[str, BeforeValidator(_trainable)]
    program: Annotated[ProgramSpec | None, BeforeValidator(read_program)] = None
    space: Annotated[dict[str, Any], BeforeValidator(_space)]
    constraints: Annotated[tuple[str, ...], BeforeValidator(_constraints)] = ()
    metric: str
    mode: Mode
    metrics: dict[str, Mode]
    searcher: Annotated[dict[str, Any], BeforeValidator(_searcher)] = Field(
        default="auto", validate_default=True
    )
    scheduler: Annotated[dict[str, Any], BeforeValidator(_scheduler)] = Field(
        default="fifo", validate_default=True
    )
    resources: ResourcesSpec = ResourcesSpec()
    budget: BudgetSpec = BudgetSpec()
    retries: RetriesSpec = RetriesSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    timeouts: TimeoutsSpec = TimeoutsSpec()
    cluster: ClusterSpec = ClusterSpec()
    confirm: ConfirmSpec | None = None
    max_failed_share: float = Field(default=0.5, ge=0, le=1)
    seed: Whole = Field(default=0, ge=0)
    code_change: CodeChange = "warn"
    storage: Annotated[str, BeforeValidator(_storage)] = "./sweeps"

    _folder: Path = PrivateAttr(default=Path())
    _notes: tuple[Note, ...] = PrivateAttr(default=())
    _parsed: Space = PrivateAttr()

    @classmethod
    def from_yaml(cls, path: str | Path) -> SweepSpec:
        """The spec in the YAML file at `path`; `trainable` and `storage` are relative to its folder.

        Raises:
            SpecError: with every problem found, each as `path: given, allowed`.
        """
        path = Path(path)
        return cls._read(read_yaml(path), path.parent, path.name)

    @classmethod
    def from_dict(
        cls, written: Mapping[str, Any], folder: str | Path | None = None, where: str = "spec"
    ) -> SweepSpec:
        """The spec that a mapping of the same shape as the YAML stands for.

        Args:
            written: keys as in YAML; `space` may hold distributions made by `uniform(...)` and the
                like, or be a `Space`, and `trainable` may be a function or a class.
            folder: what `trainable` and `storage` are relative to; None: the working directory.
            where: what errors call it, e.g. the name of the file that it was read from.

        Raises:
            SpecError: as `from_yaml`.
        """
        return cls._read(written, Path() if folder is None else Path(folder), where)

    @classmethod
    def _read(cls, written: Mapping[str, Any], folder: Path, where: str) -> SweepSpec:
        if not isinstance(written, Mapping) or not all(isinstance(key, str) for key in written):
            raise SpecError(f"{where}: a spec maps names to values, got {written!r:.80}")
        if problems := list(outsized(written)) or list(secrets_in(written)):
            raise spec_error(problems, where)
        raw, notes = dict(written), tuple[Note, ...]()
        if is_wandb(written):
            try:
                raw, notes = translate(written, folder, Path.cwd())
            except SpecError as error:
                raise spec_error([str(error)], where) from None
        name_program(raw)
        try:
            expand_method(raw)
        except SpecError as error:
            raise spec_error([str(error)], where) from None
        if isinstance(raw.get("space"), Space):
            raw.setdefault("constraints", [c.text for c in raw["space"].constraints])
        goal, problems = read_goal(raw)
        try:
            # a goal that could not be read has been complained of; a stand-in keeps pydantic silent
            spec = cls.model_validate({**raw, **(goal or read_goal({"metrics": {"x": "min"}})[0])})
        except ValidationError as error:
            raise spec_error([*problems, *problems_of(error, cls)], where) from None
        problems = problems or list(secrets_in(spec.to_dict()))  # of objects from Python too
        if problems:
            raise spec_error(problems, where)
        spec._folder, spec._notes = folder, notes
        return spec

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        self._parsed = told(Space.from_dict, self.space, self.constraints)
        problems = list(self._contradictions())
        if problems:
            raise problem("\n".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        from raysweep.schedulers.catalog import build_scheduler
        from raysweep.schedulers.population import CHANGERS
        from raysweep.schedulers.setting import Setting as Around
        from raysweep.schedulers.units import MEASURED, STEPS, unit_of
        from raysweep.searchers.catalog import SEARCHERS, build_searcher
        from raysweep.searchers.setting import Setting

        options = dict(self.searcher)
        searcher = options.pop("name")
        ends = is_object(searcher) or SEARCHERS[searcher].finite  # an object may end: who knows
        try:
            if not is_object(searcher) and searcher != "transfer":  # that one reads other sweeps
                build_searcher(searcher, options, Setting(self._parsed, self.seed, self.goal))
        except SpecError as error:
            yield f"searcher: {error}"
        try:
            scheduler = dict(self.scheduler)
            if not is_object(rule := scheduler.pop("name")):
                around = Around(
                    self.goal, self._parsed, self.seed, self.budget.trials,
                    prices=self.cluster.prices,
                )  # fmt: skip
                build_scheduler(rule, scheduler, around)
        except SpecError as error:
            yield str(error)
        if amiss := pair_amiss(searcher, self.scheduler["name"]):
            yield amiss
        if text := doubled(self):
            yield text
        limits = {name for name, v in self.budget.model_dump().items() if v is not None}
        if not limits and not ends:
            yield (
                "budget: nothing ends this sweep; give one of trials, steps, wall_time, gpu_hours, "
                "or a searcher that ends (grid)"
            )
        if limits == {"gpu_hours"} and not self.resources.gpu:
            yield (
                "budget: gpu_hours limits nothing, as resources.gpu is 0; give a fraction there or "
                "another limit"
            )
        asked = self.resources
        larger = max((size for _, size in asked.shares().sizes), default=1)
        if larger > 1 and self.scheduler["name"] == "fifo":
            yield (
                "resources: under fifo a trial runs to its end in one go, so no share ever grows; "
                "give what it should hold from the start, or take a scheduler with rungs (asha)"
            )
        if self.confirm and self.scheduler["name"] in CHANGERS:
            yield (
                f"confirm: under {self.scheduler['name']} configs change as training goes on, so none "
                f"of them stands for what came of it; leave confirm out, and train along the schedule "
                f"that was found (pbt_replay) with several values of `seed`"
            )
        if self.confirm and self.confirm.top > (self.budget.trials or self.confirm.top):
            yield (
                f"confirm: top is {self.confirm.top}, and budget.trials is {self.budget.trials}; "
                f"give top a whole number from 1 to that"
            )
        unit = unit_of(self.scheduler)
        if not asked.shares().fixed and unit in MEASURED and unit != STEPS:
            yield (
                f"resources: scheduler.unit is {unit}, and what a step costs hangs on the share, of "
                f"which that knows nothing; count steps, or let shares be"
            )
        if larger > (self.cluster.max_slots or larger):
            yield (
                f"cluster: max_slots is {self.cluster.max_slots}, and the largest share takes the "
                f"room of {larger} slots; allow {larger} or more"
            )
        if not (
            asked.cpu or asked.gpu or asked.memory_gb or asked.custom or self.cluster.max_slots
        ):
            yield (
                "resources: a trial asks for nothing, so any number would run at once; give cpu, "
                "gpu, memory_gb or custom, or cluster.max_slots"
            )

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain JSON data, from which `from_dict` makes it again."""
        return self.model_dump(mode="json")

    def hash(self) -> str:
        """The SHA-256, in hex, of the spec as canonical JSON; the folder takes no part."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def goal(self) -> Goal:
        """What is optimised, the ranking metric first."""
        others = {name: mode for name, mode in self.metrics.items() if name != self.metric}
        return Goal(((self.metric, self.mode), *others.items()))

    @property
    def parsed_space(self) -> Space:
        """The space with its constraints."""
        return self._parsed

    @property
    def notes(self) -> tuple[Note, ...]:
        """What became of the keys of a W&B sweep; nothing for a spec of raysweep's own."""
        return self._notes

    @property
    def folder(self) -> Path:
        """What `trainable` and `storage` are relative to."""
        return self._folder

    @property
    def storage_path(self) -> Path:
        """The folder that holds the directories of sweeps."""
        return self._folder / Path(self.storage).expanduser()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SweepSpec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return int(self.hash()[:15], 16)
