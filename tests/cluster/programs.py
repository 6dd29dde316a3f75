"""Training code for tests on real Ray; loaded as `programs:behave` in the pool's processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raysweep.trainables.base import TrialContext


class Unpicklable(Exception):
    def __init__(self, lock: Any, text: str):
        super().__init__(text)
        self.lock = lock

    def __reduce__(self) -> str:
        raise TypeError("not me")


def behave(config: dict[str, Any], trial: TrialContext) -> Iterator[dict[str, Any]]:
    """Counts steps; misbehaves as the config says."""
    step = trial.step
    if trial.checkpoint is not None:
        step = int((trial.checkpoint / "step.txt").read_text())

    def save(folder: Path) -> None:
        (folder / "step.txt").write_text(str(step))

    if config.get("saves", True):
        trial.on_save(save)
    while config.get("ends_at") is None or step < config["ends_at"]:
        if config.get("raises_at") == step + 1:
            raise ValueError("learning rate is cursed")
        threading.Event().wait(config.get("step_s", 0.002))
        step += 1
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]  # noqa: TID251
        gpu = {"gpu": float(device)} if device.isdigit() else {}
        yield {"loss": 1.0 / step, "pid": os.getpid(), **gpu, **misdeed(config.get("does"), step)}


def misdeed(what: str | None, step: int) -> dict[str, Any]:
    """What a bad trial reports at its second step, if it comes that far."""
    if what is None or step != 2:
        return {}
    if what == "nan":
        return {"loss": float("nan")}
    if what == "huge":
        return {"blob": "x" * 10_000_000}
    if what == "object":
        return {"model": threading.Lock()}
    if what == "exit":
        os._exit(3)
    if what == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
    if what == "helpers":
        multiprocessing.get_context("fork").Process(target=threading.Event().wait).start()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        threading.Event().wait()
    if what == "systemexit":
        raise SystemExit("bye")
    if what == "unpicklable":
        raise Unpicklable(threading.Lock(), "holds a lock")
    raise AssertionError(what)


def nameless(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Reports everything but the metric."""
    yield {"los": 1.0, "accuracy": 0.5}
