"""The house rules that a reader relies on, checked on the syntax tree of every module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import raysweep
from raysweep.cluster.pool import Pool
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.base import Scheduler
from raysweep.searchers.base import Searcher

ROOT = Path(raysweep.__file__).resolve().parents[1]
LAYERS = {
    "trials": set(),
    "searchers": {"trials"},
    "schedulers": {"trials"},
    "results": {"trials"},
    "trainables": {"trials"},
    "cluster": {"trials", "trainables"},
    "orchestrator": {"trials", "searchers", "schedulers", "results", "trainables", "cluster"},
}
"""Folder → the folders that it may import beside itself."""
RAY = {
    "cluster/deaths.py",
    "cluster/driver_path.py",
    "cluster/mailbox.py",
    "cluster/outage.py",
    "cluster/nodes.py",
    "cluster/ray_pool.py",
    "cluster/session.py",
    "trainables/actor.py",
}
"""The files that may import Ray, beside the edges to Ray Tune: those whose name begins with `tune`."""
PICKLE = {
    "cluster/slot.py": "commands on their way from a driver to its own actor; answers are JSON",
    "searchers/tune_values.py": "compares objects that have no equality; nothing is read back",
    "trainables/actor.py": "the other end of the same wire",
    "trainables/load.py": "a function given from Python, sent to the processes that run it",
    "trainables/checkpoint.py": "names the error that torch raises for a pickle it refuses",
}
"""The files that may import pickle or cloudpickle, and why; a resume reads nothing of these."""
DOORS = {"time": {"trials/clock.py"}, "random": {"trials/global_chance.py"}}
"""Modules that bring in time or chance → the files that may import them."""
ENVIRONMENT = {
    "cluster/session.py",
    "trainables/process_state.py",
    "trainables/program_guard.py",
    "trainables/slot_guard.py",
}
"""The files that may look at environment variables: Ray's, those that a program or a helper inherits,
and those that a trial leaves changed."""
CEILING = 400
FORBIDDEN = {"utils", "util", "common", "core", "helpers", "helper", "misc", "lib", "tools"}
HEAVY = {"ray", "torch", "pandas", "pyarrow", "pydantic", "scipy", "yaml", "rich", "typer"}
DISTRIBUTED = sorted(path for folder in LAYERS for path in (ROOT / folder).rglob("*.py"))
WRITTEN = [*DISTRIBUTED, *sorted((ROOT / "benchmarks").glob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name_of(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in it; `from a import b` counts as `a.b`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            for alias in node.names:
                yield f"{dots}{node.module or ''}.{alias.name}", node.lineno


def test_the_walk_sees_the_code() -> None:
    assert len(DISTRIBUTED) > 60
    assert {path.parent.name for path in DISTRIBUTED} == set(LAYERS)


@pytest.mark.parametrize("path", DISTRIBUTED, ids=name_of)
def test_imports_respect_the_layers(path: Path) -> None:
    folder = path.parent.name
    for module, line in imports(path):
        top, _, rest = module.partition(".")
        where = f"{name_of(path)}:{line} imports {module}"
        assert top not in LAYERS, f"{where}: write raysweep.{module}"
        assert top, f"{where}: relative imports are not used"
        if top == "raysweep" and (target := rest.partition(".")[0]) in LAYERS:
            assert target == folder or target in LAYERS[folder], f"{where}: a layer above or beside"
        elif top == "raysweep":
            assert folder in ("cluster", "orchestrator"), f"{where}: the root imports the layers"
        if folder == "trials":
            allowed = top in sys.stdlib_module_names or top in ("numpy", "raysweep")
            assert allowed, f"{where}: the nouns need the standard library and numpy only"


def importers(*modules: str) -> dict[str, set[str]]:
    """Of `modules`, which file imports which."""
    found: dict[str, set[str]] = {}
    for path in DISTRIBUTED:
        tops = {module.partition(".")[0] for module, _ in imports(path)} & set(modules)
        if tops:
            found[name_of(path)] = tops
    return found


def test_ray_is_imported_in_a_handful_of_named_files_and_at_the_edges_to_tune() -> None:
    edges = {name_of(path) for path in DISTRIBUTED if path.stem.startswith("tune")}
    found = set(importers("ray"))
    assert found >= RAY
    assert found <= RAY | edges


def test_ray_s_private_names_are_taken_by_one_door_only() -> None:
    """By `trials.ray_names.private`, which knows each with its reason."""
    for path in [*DISTRIBUTED, ROOT / "raysweep" / "tune.py"]:
        for module, line in imports(path):
            parts = module.split(".")
            private = parts[0] == "ray" and any(part.startswith("_") for part in parts)
            assert not private, f"{name_of(path)}:{line} imports {module}: list it in ray_names"


def test_pickle_is_imported_only_where_a_reason_stands_beside_it() -> None:
    assert set(importers("pickle", "cloudpickle", "dill", "marshal", "shelve")) == set(PICKLE)


@pytest.mark.parametrize("module", DOORS)
def test_time_and_chance_come_in_by_one_door(module: str) -> None:
    assert set(importers(module)) == DOORS[module]


def test_global_chance_the_environment_and_code_from_text_are_not_used() -> None:
    for path in DISTRIBUTED:
        for node in ast.walk(tree_of(path)):
            where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), where
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv"):
                assert name_of(path) in ENVIRONMENT, f"{where} looks at the environment"
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
                doors = ("trials/streams.py", "trials/global_chance.py")
                assert name_of(path) in doors, f"{where} draws by itself"


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_no_file_is_long_or_has_a_name_that_says_nothing(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= CEILING, (
        f"{name_of(path)} has {lines} lines; split it, {CEILING} is the ceiling"
    )
    if path in DISTRIBUTED:
        assert path.stem not in FORBIDDEN


@pytest.mark.parametrize("folder", LAYERS)
def test_a_folder_says_in_one_sentence_what_it_holds(folder: str) -> None:
    tree = tree_of(ROOT / folder / "__init__.py")
    assert len(tree.body) == 1, "nothing but a docstring stands there"
    sentence = ast.get_docstring(tree) or ""
    assert re.fullmatch(r"[A-Z][^\n]*[^.\n]\.", sentence)


def public_definitions(path: Path) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.stmt]]:
    tree = tree_of(path)
    yield "the module", tree
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    silent = [
        name
        for name, node in public_definitions(path)
        if not ast.get_docstring(node)
        and not (path.parent.name == "benchmarks" and name != "the module")
    ]
    assert not silent, f"{name_of(path)}: no docstring on {', '.join(silent)}"


@pytest.mark.parametrize("kind", [Searcher, Scheduler, Pool, SweepState])
def test_central_classes_stay_small(kind: type) -> None:
    methods = [n for n, v in vars(kind).items() if callable(v) and not n.startswith("_")]
    assert 1 <= len(methods) <= 6, methods


def test_the_import_root_links_to_every_folder() -> None:
    root = ROOT / "raysweep"
    links = {path.name: path.readlink().as_posix() for path in root.iterdir() if path.is_symlink()}
    assert links == {folder: f"../{folder}" for folder in LAYERS}
    files = {p.name for p in root.iterdir() if not p.is_symlink() and p.name != "__pycache__"}
    assert files == {"__init__.py", "py.typed", "tune.py"}


def test_all_is_what_is_visible_and_every_name_is_there() -> None:
    assert dir(raysweep) == sorted(raysweep.__all__)
    assert len(set(raysweep.__all__)) == len(raysweep.__all__)
    assert set(raysweep.__all__) == {*raysweep._HOME, "__version__"}
    for name in raysweep.__all__:
        assert getattr(raysweep, name) is not None
    for name, home in raysweep._HOME.items():
        assert getattr(raysweep, name) is getattr(import_module(home), name)
    assert raysweep.tune.Tuner is raysweep.Tuner
    with pytest.raises(AttributeError, match="has no attribute 'nothing'; it has"):
        raysweep.nothing  # noqa: B018 - the access itself raises


def test_type_checkers_are_told_of_every_public_name() -> None:
    told = {}
    for node in ast.walk(tree_of(ROOT / "raysweep" / "__init__.py")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raysweep."):
            assert all(alias.asname == alias.name for alias in node.names), "re-export by `as`"
            told |= {alias.name: node.module for alias in node.names}
    assert told == raysweep._HOME


def fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "module",
    ["raysweep", "raysweep.schedulers.catalog", "raysweep.searchers.catalog",
     "raysweep.orchestrator.state", "raysweep.cluster.simulated"],
)  # fmt: skip
def test_nothing_heavy_comes_with(module: str) -> None:
    loaded = fresh(f"import sys, {module}; print(*{{m.partition('.')[0] for m in sys.modules}})")
    assert not HEAVY & set(loaded.split())


def test_import_is_quick() -> None:
    """Best of five fresh interpreters, processor time; the interpreter's own start is not counted."""
    timed = (
        "import time; begun = time.process_time(); import raysweep; "
        "print(time.process_time() - begun)"
    )
    assert min(float(fresh(timed)) for _ in range(5)) < 0.3
