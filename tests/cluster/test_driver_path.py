"""Files named like modules beside training code keep no worker from coming up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raysweep.cluster.driver_path import clashes, job_config

SPEC = {
    "name": "s",
    "trainable": "train:train",
    "space": {"x": {"uniform": [0, 1]}},
    "metric": "loss",
    "mode": "min",
    "searcher": "random",
    "budget": {"trials": 2},
    "cluster": {"num_cpus": 1},
}
TRAIN = """
import helper

def train(config):
    import lazy
    yield {"loss": config["x"] + helper.VALUE + lazy.VALUE}
"""
NAMES = (
    "numpy",
    "code",
    "ray",
    "pyarrow",
    "rich",
    "types",
    "pandas",
    "click",
    "google",
    "raysweep",
)


def test_names_of_the_library_and_of_installed_packages_clash(tmp_path: Path) -> None:
    for name in ("numpy", "code", "train", "not-a-module"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "__init__.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "raysweep.py").write_text("")  # need not be installed
    (tmp_path / "google.py").write_text("")  # comes before every part of a namespace package
    (tmp_path / "rich.cpython-311-x86_64-linux-gnu.so").write_text("")
    taken = ["code", "google", "numpy", "raysweep", "rich", "yaml"]
    assert clashes(str(tmp_path)) == taken
    assert clashes(str(tmp_path / "missing")) == []


def test_ray_gets_the_folders_without_a_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["raysweep"])
    assert job_config() is None, "nothing to keep from Ray"
    (tmp_path / "numpy.py").write_text("")
    path = job_config()._py_driver_sys_path
    path.extend([str(tmp_path), "/nowhere"])
    assert list(path) == ["/nowhere"]


@pytest.mark.ray
def test_a_sweep_runs_in_a_folder_of_such_files(tmp_path: Path) -> None:
    """Before, the driver ended in the folder's `rich.py`, and no slot came up for 40 s."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text('raise RuntimeError("the wrong one")')
    (tmp_path / "helper.py").write_text("VALUE = 3")
    (tmp_path / "lazy.py").write_text("VALUE = 4")
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SPEC))
    command = [str(Path(sys.executable).parent / "raysweep"), "run", "s.yaml", "--quiet"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2 completed" in done.stdout
