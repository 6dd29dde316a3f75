"""What counts as the training code, and what does not."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.fingerprint import digest, fingerprint
from raysweep.trainables.load import ModuleCode, PickledCode
from raysweep.trainables.program import ProgramCode

FILES = {
    "train.py": "import numpy\nimport helper\nfrom models.net import Net\ndef train(config):\n"
    "    from late import later\n    yield {}\n",
    "helper.py": "X = 1\n",
    "models/net.py": "from . import blocks\nfrom .deep.layer import L\nclass Net: pass\n",
    "models/blocks.py": "import importlib\nimportlib.import_module('plugin')\n",
    "models/deep/__init__.py": "",
    "models/deep/layer.py": "from ...models import other\nL = 1\n",
    "models/other.py": "",
    "late.py": "import train  # round in a circle\ndef later(): pass\n",
    "plugin.py": "def broken(:\n",
    "unused.py": "",
    ".venv/lib/site-packages/helper2.py": "",
}
USED = {name for name in FILES if name not in ("unused.py", ".venv/lib/site-packages/helper2.py")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_module_and_the_local_modules_that_it_imports_count(folder: Path) -> None:
    code = ModuleCode("train:train", str(folder))
    before = fingerprint(code)
    assert set(before) == USED
    (folder / "unused.py").write_text("changed")
    assert fingerprint(code) == before
    for name in sorted(USED):
        text = (folder / name).read_text()
        (folder / name).write_text(text + "\n# edited")
        now = fingerprint(code)
        assert {n for n in now if now[n] != before[n]} == {name}
        assert digest(now) != digest(before)
        (folder / name).write_text(text)


def test_the_place_does_not_count(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy") / "b"
    folder.rename(copy)
    moved = fingerprint(ModuleCode("train:train", str(copy)))
    copy.rename(folder)
    assert moved == fingerprint(ModuleCode("train:train", str(folder)))


def test_a_program_counts_with_what_it_imports_and_what_its_command_names(folder: Path) -> None:
    (folder / "start.sh").write_text("python $1")
    code = ProgramCode("train.py", ("bash", "start.sh", "${program}"), str(folder), (), {}, {})
    assert set(fingerprint(code)) == USED | {"start.sh"}


SCALE = 3


def _helper(x: float) -> float:
    return x * SCALE


def maker(factor: int, body: str = "a") -> Callable[..., Any]:
    def train(config: dict[str, Any]) -> Any:
        yield {"loss": config["x"] * factor}

    def other(config: dict[str, Any]) -> Any:
        yield {"loss": config["x"] + factor}

    return train if body == "a" else other


def of(target: Any) -> str:
    return digest(fingerprint(PickledCode(b""), target))


def test_functions_and_classes_count_by_what_they_do() -> None:
    assert of(maker(1)) == of(maker(1)) != ""
    assert of(maker(1)) != of(maker(2))
    assert of(maker(1)) != of(maker(1, "b"))
    assert of(functools.partial(maker(1), 2)) != of(functools.partial(maker(1), 3))

    def cls(step: int) -> type:
        return type("Made", (), {"step": lambda self: step, "save": maker(1)})

    assert of(cls(1)) == of(cls(1)) != of(cls(2))


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from raysweep.trainables.fingerprint import digest, fingerprint
from raysweep.trainables.load import PickledCode
import helper, math
RATE = {rate}
def scaled(x):
    return math.sqrt(x) * RATE
class Model:
    names = {{"a", "b", "c"}}
    def loss(self, x): return scaled(x) + helper.X
def train(config):
    yield {{"loss": Model().loss(len(config))}}
found = fingerprint(PickledCode(b""), train)
print(digest(found), sorted(found))
"""


def test_what_a_script_refers_to_counts_and_is_the_same_in_each_process(folder: Path) -> None:
    def run(rate: int) -> str:
        text = SCRIPT.format(folder=str(folder), rate=rate)
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True
        )
        return done.stdout

    first = run(1)
    assert "['<python:train>', 'helper.py']" in first
    assert run(1) == first
    assert run(2).split()[0] != first.split()[0]
    (folder / "helper.py").write_text("X = 2\n")
    assert run(1).split()[0] != first.split()[0]
