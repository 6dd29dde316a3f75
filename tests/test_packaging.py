"""What is shipped: the wheel, its dependencies, and the set of versions that is tested."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.test_architecture import DISTRIBUTED, ROOT, importers, name_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORT_NAMES = {"PyYAML": "yaml", "scikit-learn": "sklearn"}
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def names(requirements: list[str]) -> set[str]:
    found = {m.group() for text in requirements if (m := _NAME.match(text))}
    return found - {"raysweep"}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_direct_dependency_is_pinned_to_one_version() -> None:
    direct = names(PROJECT["dependencies"]).union(*map(names, EXTRAS.values()))
    assert set(constraints()) == direct


@pytest.mark.parametrize("name", constraints())
def test_what_is_pinned_is_what_is_tested(name: str) -> None:
    """A local suffix, as torch's `+cpu`, says where a build came from and is not pinned."""
    assert version(name).partition("+")[0] == constraints()[name]


def test_what_the_code_imports_is_declared() -> None:
    """What comes with another package today may be gone tomorrow."""
    declared = {
        IMPORT_NAMES.get(n, n)
        for n in names([*PROJECT["dependencies"], *EXTRAS["query"], *EXTRAS["bench"]])
    }
    declared.add("pydantic_core")  # one release train with pydantic, which pins it
    known = {*declared, *sys.stdlib_module_names, "raysweep"}
    known |= {"descendants", "log"}  # beside the scripts that run as such, guards of processes
    every = {name: tops - known for name, tops in importers(*_all_imports()).items()}
    assert not {name: tops for name, tops in every.items() if tops}


def _all_imports() -> set[str]:
    from tests.test_architecture import imports

    return {module.partition(".")[0] for path in DISTRIBUTED for module, _ in imports(path)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_module_once_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = sorted(n for n in archive.namelist() if ".dist-info/" not in n)
        info = {n.partition(".dist-info/")[2] for n in archive.namelist()} - {""}
    modules = [f"raysweep/{name_of(path)}" for path in DISTRIBUTED]
    root = ("__init__.py", "py.typed", "tune.py")
    assert shipped == sorted([*modules, *(f"raysweep/{name}" for name in root)])
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= info


def test_the_wheel_imports_from_a_place_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """Its files alone, with the dependencies but without this working tree on the path."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import raysweep; print(raysweep.__file__, raysweep.__version__); "
        "[getattr(raysweep, name) for name in raysweep.__all__]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, found = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path)
    assert found == PROJECT["version"]
