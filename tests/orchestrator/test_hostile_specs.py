"""Whatever stands at any place of a spec: it is taken or refused in a sentence, in bounded time.

Every key of the schema, and every option of every searcher and scheduler, is given each of the hostile
values; then YAML files that are large, deep, doubled or no files at all.
"""

from __future__ import annotations

import copy
import os
import resource
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.orchestrator.yaml_file import parse_yaml, read_yaml
from raysweep.schedulers.catalog import SCHEDULERS
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.domains import grid
from raysweep.trials.errors import RaysweepError, SpecError
from raysweep.trials.parameters import DISTRIBUTIONS, uniform
from raysweep.trials.space import Space
from tests.orchestrator.cli_sweeps import write_spec

PATIENCE_S = 8.0
"""What one spec may take on a machine that others use as well; most take milliseconds."""
LONGEST_MESSAGE = 20_000


class TooSlow(BaseException):
    """No Exception, so that nothing takes it for its own."""


@contextmanager
def bounded(seconds: float = PATIENCE_S) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def deep(levels: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


HOSTILE: dict[str, Any] = {
    "inf": float("inf"), "-inf": float("-inf"), "nan": float("nan"), "minus": -1, "zero": 0,
    "tiny": 5e-324, "1e400": float("1e400"), "1e308": 1e308, "10**400": 10**400, "2**63": 2**63,
    "1e9": 10**9, "-10**400": -(10**400), "empty": "", "NUL": "a\0b", "long": "x" * 1_000_000,
    "digits": "9" * 100_000, "units": "1h" * 50_000, "deep list": deep(3_000, list),
    "deep map": deep(3_000, dict), "circle": circle(), "list": [1, "a", None], "no list": [],
    "map": {"a": 1}, "no map": {}, "null": None, "bool": True, "controls": "\x1b[2J\u202e\x9b",
    "surrogate": "\udcff", "home": "~", "no home": "~nosuchuser/x", "up": "../" * 50,
    "/dev/null": "/dev/null/x", "fifo": "FIFO", "pairs": [[float("inf"), 1]], "nan pairs": [[1, float("nan")]],
    "huge pairs": [[10**400, 10**400]], "text pairs": {"\0": "\0"}, "bytes": b"\xff", "object": object(),
    "complex": 1j, "set": {1, 2}, "keys": {1: 2, None: 3}, "inf map": {"a": float("inf")},
    "long map": {f"k{i}": i for i in range(5_000)}, "long list": list(range(20_000)),
}  # fmt: skip
BASE: dict[str, Any] = {
    "trainable": "train:train",
    "space": {"x": {"uniform": [0, 1]}, "n": {"randint": [1, 5]}, "c": {"choice": ["a", "b"]}},
    "metric": "loss", "mode": "min", "budget": {"trials": 3},
}  # fmt: skip


def paths_of(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a model, those of its parts too."""
    for name, field in model.model_fields.items():
        yield (*at, name)
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from paths_of(kind, (*at, name))


def option_paths() -> Iterator[tuple[Any, ...]]:
    for part, catalog in (("searcher", SEARCHERS), ("scheduler", SCHEDULERS)):
        for name, entry in catalog.items():
            for option in [*entry.options, "points_to_evaluate"]:
                yield part, name, option


PLACES: list[tuple[Any, ...]] = [
    *paths_of(SweepSpec),
    ("goal",), ("method",), ("unknown",), ("metrics", "loss"), ("space", "x"), ("space", "x", "when"),
    ("resources", "custom", "tpu"), ("cluster", "prices", "cpu"), ("cluster", "speeds", "cpu"),
    ("constraints", 0), ("program", "environment", "A"), ("program", "names", "x"), ("budget", "wall_time"),
    *(("space", "x", name) for name in DISTRIBUTIONS),
    *(("space", "x", name, 0) for name in DISTRIBUTIONS),
    *(("space", "x", name, 1) for name in DISTRIBUTIONS),
    *option_paths(),
]  # fmt: skip
PLACES_TAKEN = [
    pytest.param(place, marks=() if number % 12 == 0 else pytest.mark.slow)
    for number, place in enumerate(PLACES)
]
"""A twelfth of them in the default run: each takes a second."""


def spec_with(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The plain spec with `value` at `place`, and what has to stand beside it there."""
    spec = copy.deepcopy(BASE)
    if place[0] in ("searcher", "scheduler") and len(place) == 3:
        part, name, option = place
        needs = {"max_t": 9} if part == "scheduler" else {}
        catalog = SCHEDULERS if part == "scheduler" else SEARCHERS
        known = {key: v for key, v in needs.items() if key in catalog[name].options}
        spec[part] = {"name": name, **known, option: value}
        return spec
    if place[0] == "program":
        del spec["trainable"]
        spec["program"] = {"command": ["python", "x.py"]}
    if place[:2] == ("space", "x") and len(place) == 4:
        numbers = [1, 2, 1][: 3 if "q" in place[2] else 2]
        numbers[place[3]] = value
        spec["space"]["x"] = {place[2]: numbers}
        return spec
    if place[:2] == ("space", "x") and len(place) == 3 and place[2] != "when":
        spec["space"]["x"] = {}
    if place == ("constraints", 0):
        spec["constraints"] = [value]
        return spec
    where: Any = spec
    for name in place[:-1]:
        inner = where.get(name)
        where[name] = where = inner if isinstance(inner, dict) else {}
    where[place[-1]] = value
    return spec


def used(spec: SweepSpec) -> None:
    """What a command does with a spec before anything starts."""
    from raysweep.orchestrator.cli_spec import _show, understood
    from raysweep.orchestrator.rebuild import new_state

    spec.hash()
    new_state(spec)
    _show(understood(spec))


@pytest.mark.parametrize("place", PLACES_TAKEN, ids=lambda place: ".".join(map(str, place)))
def test_every_place_of_a_spec_takes_or_refuses_each_value(
    place: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("FIFO")
    Path("train.py").write_text("def train(config):\n    yield {'loss': 1.0}\n")
    for name, value in HOSTILE.items():
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        written = spec_with(place, value)
        try:
            with bounded():
                spec = SweepSpec.from_dict(written, tmp_path)
                used(spec)
                Sweep.create(spec)
            said = "taken"
        except RaysweepError as error:
            said = str(error)
        except TooSlow:
            pytest.fail(f"{name}: took over {PATIENCE_S:g} s")
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {str(error)[:300]}") from error
        assert 0 < len(said) < LONGEST_MESSAGE, name
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb) / 1024
        assert grown_mb < 400, name


HUGE: dict[str, dict[str, Any]] = {
    "grid points": {"searcher": {"name": "grid", "points": 10**9}},
    "grid points by name": {"searcher": {"name": "grid", "points": {"x": 10**9}}},
    "grid of 10^400": {
        "space": {f"p{i}": {"choice": list(range(10))} for i in range(400)}, "searcher": "grid",
    },
    "shuffled grid of 10^400": {
        "space": {f"p{i}": {"choice": list(range(10))} for i in range(400)},
        "searcher": {"name": "grid", "shuffle": True},
    },
    "lhs": {"searcher": {"name": "lhs", "points": 10**9}},
    "confirm seeds": {"confirm": {"top": 3, "seeds": 10**9}},
    "confirm top": {"confirm": {"top": 10**9, "seeds": 3}, "budget": {"trials": 10**10}},
    "many constraints": {"constraints": [f"x * {i} + 1 > n + x ** 2 - {i}" for i in range(3_000)]},
    "heavy constraints": {"constraints": [" + ".join(["x"] * 240) + f" > -{i}" for i in range(3_000)]},
    "unsatisfiable": {"constraints": [" + ".join(["x"] * 240) + f" < -{i}" for i in range(1, 60)]},
    "chained": {"constraints": [" < ".join(["n"] * 200)] * 20},
    "rungs": {"scheduler": {"name": "asha", "max_t": 10**15, "grace_period": 1}},
    "gpu_from": {"resources": {"gpu": 0.5, "gpu_from": [[float("inf"), 1]]}},
    "cpu_from": {"resources": {"cpu": 1e-300, "cpu_from": [[1, 1e300]]}},
    "tiny gpu": {"resources": {"gpu": 0.0001, "gpu_from": [[1, 1.0]]}},
    "wide space": {"space": {f"p{i}": {"uniform": [0, 1]} for i in range(20_000)}},
    "conditions": {
        "space": {"p0": {"choice": [0, 1]}}
        | {f"p{i}": {"choice": [0, 1], "when": {f"p{i - 1}": 1}} for i in range(1, 60)},
        "searcher": "grid",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_what_is_too_large_is_refused_or_taken_in_bounded_time(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def train(config):\n    yield {'loss': 1.0}\n")
    try:
        with bounded():
            spec = SweepSpec.from_dict({**BASE, **HUGE[name]}, tmp_path)
            used(spec)
            Sweep.create(spec)
        said = "taken"
    except SpecError as error:
        said = str(error)
    assert 0 < len(said) < LONGEST_MESSAGE


REFUSED = ["grid points", "grid of 10^400", "lhs", "confirm seeds", "many constraints", "gpu_from"]


@pytest.mark.parametrize("name", REFUSED)
def test_the_refusal_says_what_is_allowed(name: str) -> None:
    with pytest.raises(SpecError, match=r"allow|at most|from 1 to|fewer|less than or equal|finite"):
        SweepSpec.from_dict({**BASE, **HUGE[name]})


@pytest.mark.parametrize(
    ("storage", "said"),
    [("a\0b", "NUL"), ("~nosuchuser/x", "no home"), ("/dev/null/x", "cannot be written"),
     ("x" * 5_000, "cannot be written|too long"), ("FIFO", "cannot be written")],
)  # fmt: skip
def test_a_storage_that_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, storage: str, said: str
) -> None:
    (tmp_path / "train.py").write_text("def train(config):\n    yield {'loss': 1.0}\n")
    os.mkfifo(tmp_path / "FIFO")
    with pytest.raises(SpecError, match=said):
        Sweep.create(SweepSpec.from_dict({**BASE, "storage": storage}, tmp_path))


def test_a_tilde_in_storage_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = SweepSpec.from_dict({**BASE, "storage": "~/sweeps"}, tmp_path)
    assert spec.storage_path == tmp_path / "home" / "sweeps"
    assert SweepSpec.from_dict({**BASE, "storage": "~"}).storage_path == tmp_path / "home"


def test_many_points_of_a_range_are_not_all_made_at_once() -> None:
    values = grid(uniform(0.0, 1.0).domain, 1_000_000)
    assert (len(values), values[0], values[-1], values[500_000]) == (
        1_000_000, 0.0, 1.0, pytest.approx(0.5, abs=1e-5),
    )  # fmt: skip
    assert values[:2] == [0.0, pytest.approx(1e-6, rel=1e-3)]


def test_a_python_space_can_be_as_hostile() -> None:
    for value in HOSTILE.values():
        with bounded(), suppress(SpecError):
            Space.from_dict({"x": value})


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
FILES: dict[str, tuple[str | bytes, str]] = {
    "bomb": (BOMB, "aliases"),
    "self": ("a: &a [*a]", "contains itself"),
    "deep": ("[" * 50_000, "deep|YAML"),
    "deep map": ("a: " + "{a: " * 5_000 + "1" + "}" * 5_000, "deep"),
    "deep block": ("".join(f"{' ' * i}a:\n" for i in range(1_300)), "deep|empty|mapping|a"),
    "large": ("a: " + "x" * 2_000_000, "bytes"),
    "many": ("a: [" + "1," * 200_000 + "]", "values"),
    "twice": ("metric: a\nmetric: b\n", "stands here and on line 1"),
    "long number": ("a: " + "9" * 100_000, "int|number"),
    "long float": ("a: 1." + "9" * 100_000 + "e5", ""),
    "binary": (b"\xff\xfe\x00", "UTF-8"),
    "NUL": ("a: b\0c", "YAML|character"),
    "tag": ("a: !!python/object/apply:os.system ['true']", "tag"),
    "merge": ("a: &a {b: 1}\nc: {<<: *a}\n", ""),
    "documents": ("a: 1\n---\nb: 2\n", "YAML|document"),
    "date": ("a: 2001-01-01\n", ""),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_read_or_refused(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    path = tmp_path / "s.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        with bounded(30):
            read_yaml(path)
        refused = ""
    except SpecError as error:
        refused = str(error)
    assert len(refused) < LONGEST_MESSAGE
    if said:
        assert any(word in refused for word in said.split("|")), refused
    done = CliRunner().invoke(app, ["validate", str(path)])
    assert done.exit_code == 2
    assert "bug in raysweep" not in done.stderr


def test_a_file_that_is_none_is_refused_and_a_pipe_is_read(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none", Path("/proc/self/mem")):
        with bounded(), pytest.raises(SpecError):
            read_yaml(path)
    os.mkfifo(silent := tmp_path / "silent")
    with bounded(), pytest.raises(SpecError, match="pipe"):
        read_yaml(silent)
    os.mkfifo(fifo := tmp_path / "fifo")

    def write() -> None:
        threading.Event().wait(0.3)
        with fifo.open("w") as file:
            file.write("metric: loss\n")
            file.flush()
            threading.Event().wait(0.3)
            file.write("mode: min\n")

    thread = threading.Thread(target=write)
    thread.start()
    assert read_yaml(fifo) == {"metric": "loss", "mode": "min"}
    thread.join()


NUMBERS = ["1e20", "inf", "-inf", "nan", "1e400", "-1", "0", "9" * 400, "1e9", "", "0x10"]
OPTIONS: list[tuple[str, ...]] = [
    ("best", "SWEEP", "--top"), ("trials", "SWEEP", "--limit"), ("audit", "SWEEP", "--confidence"),
    ("simulate", "SPEC", "--workers"), ("simulate", "SPEC", "--workers", "2", "--step-s"),
    ("simulate", "SPEC", "--workers", "2", "--step-sigma"),
    ("simulate", "SPEC", "--workers", "2", "--setup-s"),
    ("simulate", "SPEC", "--workers", "2", "--start-s"), ("explain", "SWEEP"),
]  # fmt: skip


@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
def test_numbers_on_the_command_line_are_bounded(tmp_path: Path, words: tuple[str, ...]) -> None:
    from tests.orchestrator.cli_sweeps import simulated_sweep

    places: Mapping[str, Path] = {
        "SPEC": write_spec(tmp_path),
        "SWEEP": simulated_sweep(tmp_path, name="old"),
    }
    for number in NUMBERS:
        command = [str(places.get(word, word)) for word in words]
        with bounded(30):
            done = CliRunner().invoke(app, [*command, number])
        assert done.exit_code in (0, 1, 2), (number, done.stderr)
        assert "bug in raysweep" not in done.stderr, (number, done.stderr)
        assert done.exception is None or isinstance(done.exception, SystemExit), number


def test_set_parses_no_bombs() -> None:
    for text in ("searcher=" + "[" * 50_000, "budget.trials=" + "9" * 100_000):
        with bounded(), pytest.raises(SpecError):
            parse_yaml(f"value: {text.partition('=')[2]}", "--set x")
