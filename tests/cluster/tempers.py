"""Training code that is slow, dies or hangs at awkward moments; loaded as `tempers:train`."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raysweep.trainables.base import Trainable, TrialContext


class Ran:
    """What runs code in a process that unpickles it."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (Path(self.path), str(os.getpid()))


class Rude(Exception):
    """Runs code in a process that unpickles it."""

    def __init__(self, path: str):
        super().__init__("rude")
        self.path = path

    def __reduce__(self) -> Any:
        return Ran(self.path).__reduce__()


def train(config: dict[str, Any], trial: TrialContext) -> Iterator[dict[str, Any]]:
    """Reports step after step; what it does in between and at its end is in the config."""
    if "saves" in config:
        trial.on_save(lambda folder: act(config["saves"], config, folder))
    if "begins" in config:
        act(config["begins"], config)
    try:
        for step in range(1, config.get("ends_at", 100) + 1):
            yield {"loss": 1.0 / step, "pid": os.getpid()}
            if step == config.get("does_at"):
                act(config["does"], config)
    finally:
        if "cleans" in config:
            act(config["cleans"], config)


class Untidy(Trainable):
    """Trains to its end and then cleans up as the config says."""

    def setup(self, config: dict[str, Any]) -> None:
        """Remember it."""
        self.config = config

    def step(self) -> dict[str, float] | None:
        """One more."""
        if self.step_number >= self.config["ends_at"]:
            return None
        return {"loss": 1.0}

    def cleanup(self) -> None:
        """As told."""
        if "cleans" in self.config:
            act(self.config["cleans"], self.config)


def act(what: str, config: dict[str, Any], folder: Path | None = None) -> None:
    """Do it."""
    if what == "write" and folder is not None:
        (folder / "model").write_text("weights")
    elif what == "wait":
        threading.Event().wait(config["wait_s"])
    elif what == "die":
        threading.Event().wait(config.get("wait_s", 0.0))
        os._exit(3)
    elif what == "thread":
        threading.Thread(target=threading.Event().wait, name="left", daemon=False).start()
    elif what == "mark":
        Path(config["path"]).write_text(str(os.getpid()))
    elif what == "raise":
        raise Rude(config["path"])
    elif what == "patch":
        pickle.dumps = lambda *args, **more: _REAL([Ran(config["path"])])  # type: ignore[assignment]
    else:
        raise AssertionError(what)


_REAL = pickle.dumps
