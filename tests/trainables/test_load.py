from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.base import ReadyFactory, Trainable, as_factory
from raysweep.trainables.load import ModuleCode, check_picklable, load_target
from raysweep.trials.errors import TrainableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for modules, whose imports are undone afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_finds_a_function_beside_the_folder(folder: Path) -> None:
    (folder / "neighbour.py").write_text("VALUE = 3")
    (folder / "mine.py").write_text(
        "def train(config):\n    import neighbour\n    yield {'loss': neighbour.VALUE}\n"
    )
    trainable = ModuleCode("mine:train", str(folder)).load()()
    trainable.setup({})
    assert trainable.step() == {"loss": 3}


def test_finds_a_nested_name_in_a_package(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("")
    (folder / "pack" / "deep.py").write_text("class A:\n    @staticmethod\n    def f(config): ...")
    assert load_target("pack.deep:A.f", folder).__qualname__ == "A.f"


def test_two_folders_may_have_modules_of_the_same_name(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "mine.py").write_text(f"def train(config): return {{'who': {name!r}}}")
    assert load_target("mine:train", folder / "one")({}) == {"who": "one"}
    assert load_target("mine:train", folder / "two")({}) == {"who": "two"}
    assert load_target("mine:train", folder / "one")({}) == {"who": "one"}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("train", "is not of the form module:name"),
        ("a b:train", "is not of the form module:name"),
        (":train", "is not of the form module:name"),
        ("tarin:train", "there is no module 'tarin' .* did you mean training"),
        ("training:trian", "has no 'trian'; did you mean train"),
        ("training:zzz", "has no 'zzz'; it defines: train, Net"),
        ("broken:train", r"(?s)importing 'broken' raised:.*broken\.py.*line 2.*ZeroDivisionError"),
        ("lacking:train", "(?s)importing 'lacking' raised:.*No module named 'no_such_thing'"),
        ("syntax:train", "(?s)importing 'syntax' raised:.*SyntaxError"),
        ("quits:train", "(?s)importing 'quits' raised:.*SystemExit: 3"),
        ("json:loads", "named like a module of Python's standard library; rename"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, target: str, message: str) -> None:
    files = {
        "training": "def train(config): ...\nclass Net: ...\n",
        "broken": "def half(): return 1/0\nhalf()\n",
        "lacking": "import no_such_thing\n",
        "syntax": "def train(:\n",
        "quits": "import sys; sys.exit(3)\n",
        "json": "",
    }
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    with pytest.raises(TrainableError, match=message):
        load_target(target, folder)


def _three(a: Any, b: Any, c: Any) -> None: ...
def _none() -> None: ...
async def _async(config: Any) -> None: ...


class _NoStep(Trainable): ...


class _Arguments(Trainable):
    def __init__(self, size: int): ...
    def step(self) -> None: ...


class _Foreign: ...


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "the trainable is 3 of type int; it must be a function"),
        (_three, r"_three\(a: .*cannot be called as _three\(config\)"),
        (_none, "too many positional arguments"),
        (_async, "_async is async"),
        (_NoStep, "_NoStep does not define step"),
        (_Arguments, "_Arguments cannot be made without arguments .*missing .*'size'"),
        (_Foreign, "_Foreign is not a subclass of raysweep.Trainable"),
    ],
)
def test_shapes_that_cannot_run_are_refused(target: Any, message: str) -> None:
    with pytest.raises(TrainableError, match=message):
        as_factory(target)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        (lambda config: {"n": 1}, 1),
        (lambda config, trial: {"n": 2}, 2),
        (lambda config, trial=None: {"n": 1 if trial is None else 2}, 2),
        (lambda config, lr=0.1: {"n": 1}, 1),
        (lambda *args: {"n": len(args)}, 1),
        (functools.partial(lambda config, trial, k: {"n": k}, k=5), 5),
    ],
)
def test_the_trial_is_passed_to_who_asks_for_it(target: Any, given: int) -> None:
    trainable = as_factory(target)()
    trainable.setup({})
    assert trainable.step() == {"n": given}


def test_a_function_travels_with_what_it_closes_over() -> None:
    factor = 4

    def train(config: dict[str, Any]) -> dict[str, int]:
        return {"n": factor}

    trainable = check_picklable(train).load()()
    trainable.setup({})
    assert trainable.step() == {"n": 4}


def test_a_function_that_cannot_travel_is_refused() -> None:
    lock = threading.Lock()

    def train(config: dict[str, Any]) -> dict[str, bool]:
        return {"locked": lock.locked()}

    with pytest.raises(TrainableError, match=r"train cannot be sent .* make that inside"):
        check_picklable(train)


def test_a_ready_factory_is_taken_as_it_is() -> None:
    class Making(ReadyFactory):
        def __call__(self) -> Trainable:
            return as_factory(lambda config: {"n": 6})()

    making = Making()
    assert as_factory(making) is making
    trainable = check_picklable(making).load()()
    trainable.setup({})
    assert trainable.step() == {"n": 6}


MISLEADING = (
    "abc", "asyncio", "code", "cloudpickle", "datetime", "google", "json", "logging", "numpy", "pandas",
    "pickle", "pyarrow", "pydantic", "queue", "random", "ray", "raysweep", "rich", "signal",
    "string", "threading", "token", "torch", "types", "typing", "yaml",
)  # fmt: skip
OWN = """
import helper
import colorsys  # in the standard library, too, and nothing else has imported it

def train(config):
    import later
    yield {"loss": helper.VALUE + later.VALUE, "mine": colorsys.MINE}
"""


def exercises(folder: Path) -> None:
    """Training code in a folder of files that bear the names of modules."""
    for name in MISLEADING:
        (folder / f"{name}.py").write_text("raise RuntimeError('nobody meant ' + __file__)")
    (folder / "train.py").write_text(OWN)
    (folder / "helper.py").write_text("VALUE = 1")
    (folder / "later.py").write_text("VALUE = 2")
    (folder / "colorsys.py").write_text("MINE = True")


def test_files_named_like_modules_are_in_nobody_elses_way(tmp_path: Path) -> None:
    exercises(tmp_path)
    script = f"""
import sys
sys.path = [entry for entry in sys.path if entry]
from pathlib import Path
from raysweep.trainables.load import ModuleCode, load_target
ModuleCode("train:train", {str(tmp_path)!r}).check()
import colorsys
assert colorsys.rgb_to_hls, "the driver needs the other one"
del sys.modules["colorsys"], sys.modules["train"]
train = load_target("train:train", Path({str(tmp_path)!r}))
import google.protobuf, pdb, pandas, pyarrow.parquet, torch, yaml, ray  # pdb imports code
print([*train({{}})])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[{'loss': 3, 'mine': True}]\n", done.stderr


@pytest.mark.parametrize("name", ["ray", "raysweep", "numpy", "torch", "pytest"])
def test_training_code_named_like_what_is_needed_is_refused_with_both_files(
    folder: Path, name: str
) -> None:
    (folder / f"{name}.py").write_text("def train(config): ...")
    before = sys.modules.get(name)
    said = rf"{name}\.py is named like .*{name}/__init__\.py, which this process needs by that name"
    with pytest.raises(TrainableError, match=said):
        load_target(f"{name}:train", folder)
    assert sys.modules.get(name) is before


def test_a_module_that_hides_another_is_named_where_that_fails(folder: Path) -> None:
    (folder / "wave.py").write_text("")
    (folder / "hides.py").write_text("import wave\nwave.open\n")
    said = r"(?s)has no attribute 'open'.*`import wave` of the training code finds .*/wave.py, which hides .*/wave.py; rename"
    sys.modules.pop("wave", None)
    with pytest.raises(TrainableError, match=said):
        load_target("hides:train", folder)
