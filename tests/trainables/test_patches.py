"""What a trial puts in the place of functions and modules is gone before the next one."""

from __future__ import annotations

import builtins
import json
import pathlib
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from raysweep.trainables.patches import Patches

OWNERS = [
    (json, "dumps"),
    (shutil, "rmtree"),
    (builtins, "print"),
    (pathlib.Path, "read_text"),
    (threading.Event, "wait"),
    (subprocess.Popen, "wait"),
]


@pytest.fixture
def patches() -> Iterator[Patches]:
    found = Patches()
    yield found
    found.restore()


@pytest.mark.parametrize(("owner", "name"), OWNERS)
def test_a_function_is_put_back(patches: Patches, owner: Any, name: str) -> None:
    before = vars(owner)[name]
    for _ in range(2):
        setattr(owner, name, lambda *a, **k: None)
        patches.restore()
        assert vars(owner)[name] is before
        delattr(owner, name)
        patches.restore()
        assert vars(owner)[name] is before


def library(name: str, folder: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__file__ = f"/usr/lib/{folder}/{name}.py"
    exec("def dumps(value): return 'library'", vars(module))
    return module


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_an_installed_library_puts_there_stays(
    patches: Patches, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may do so once in a process, and count on it from then on."""
    monkeypatch.setattr(json, "dumps", json.dumps)
    module = library("patching", folder)
    sys.modules["patching"] = module
    json.dumps = module.dumps
    for _ in range(2):
        patches.restore()
        assert json.dumps is module.dumps
    json.dumps = library("mine", "project").dumps
    patches.restore()
    assert json.dumps is module.dumps
    del sys.modules["patching"]


def test_modules_are_put_back(patches: Patches) -> None:
    before, table = dict(sys.modules), sys.modules
    sys.modules["json"] = None  # type: ignore[assignment]
    del sys.modules["shutil"]
    sys.modules["blocked"] = None  # type: ignore[assignment]
    sys.modules = {}
    patches.restore()
    assert sys.modules is table
    assert dict(sys.modules) == before


def test_a_module_that_was_imported_meanwhile_is_kept_as_well(patches: Patches) -> None:
    module = sys.modules["brought_in"] = types.ModuleType("brought_in")
    patches.restore()
    del sys.modules["brought_in"]
    patches.restore()
    assert sys.modules.pop("brought_in") is module
    patches._modules.pop("brought_in")
