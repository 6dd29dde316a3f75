"""Why a slot's process is gone: what Ray says, in the words and classes that retries go by."""

from __future__ import annotations

import math
import re
from typing import Generic, NamedTuple, TypeVar

from raysweep.trials.events import ErrorClass

Of = TypeVar("Of")
_EXIT_DETAIL = re.compile(r"Worker exit detail: (.+?)(?: There are some potential|$)", re.DOTALL)


_SETTLED_S = 1.0
"""A node that goes down ends its processes first, and is counted among the living a little longer."""


class Doubts:
    """Deaths that look like crashes and are not charged before it is known that the node lives on."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, BaseException]] = {}

    def hold(self, slot: str, error: BaseException, now_s: float) -> None:
        """Keep a death of a slot's process for a while; the first one counts."""
        self._held.setdefault(slot, (now_s + _SETTLED_S, error))

    def is_held(self, slot: str) -> bool:
        """Whether one is kept for the slot."""
        return slot in self._held

    def drop(self, slot: str) -> None:
        """The slot is gone."""
        self._held.pop(slot, None)

    def settled(self, slot: str, now_s: float) -> BaseException | None:
        """The slot's death, if it has been kept for long enough."""
        until_s, error = self._held.get(slot, (math.inf, None))
        return error if now_s >= until_s else None


class Death(NamedTuple, Generic[Of]):
    """A slot's process is gone: why, and what is still to be waited for before that is told.

    `asked` is the question to the mailbox whose answer brings all that the process has left there;
    past `until_s` it is waited for no more.
    """

    asked: int
    until_s: float
    slot: Of
    kind: ErrorClass
    message: str
    text: str


def diagnose(error: BaseException, node: str, node_alive: bool) -> tuple[ErrorClass, str]:
    """The class of a death and a sentence for the user.

    Args:
        error: what Ray raised for a call of the process.
        node: the node's name.
        node_alive: whether Ray still counts the node among the living.
    """
    from ray import exceptions as ray_errors

    if isinstance(error, ray_errors.OutOfMemoryError) or "memory usage threshold" in str(error):
        return ErrorClass.OOM, (
            f"Ray killed the trial's process because node {node} ran out of memory; ask for more "
            "with resources: memory_gb, or run fewer trials at once"
        )
    if isinstance(error, ray_errors.RayTaskError):
        return ErrorClass.CRASH, f"the trial's process failed: {_last_line(error)}"
    if getattr(error, "preempted", False):
        return ErrorClass.INFRA, f"node {node} was preempted"
    if not node_alive or isinstance(error, ray_errors.NodeDiedError):
        return ErrorClass.INFRA, f"node {node} was lost"
    if isinstance(error, ray_errors.ActorUnavailableError):
        return ErrorClass.INFRA, f"node {node} does not answer: {_last_line(error)}"
    if not isinstance(error, ray_errors.ActorDiedError):
        return ErrorClass.INFRA, f"Ray failed on node {node}: {_last_line(error)}"
    if "SIGTERM" in str(error):
        return ErrorClass.INFRA, (
            f"the trial's process on node {node} was told to end (SIGTERM), as when its node shuts "
            "down or is preempted"
        )
    return ErrorClass.CRASH, (
        f"the trial's process died on node {node}, which lives on ({_exit_detail(error)}); usual "
        "causes are os._exit, a crash in native code, SIGKILL, or the kernel's out-of-memory killer"
    )


def _exit_detail(error: BaseException) -> str:
    found = _EXIT_DETAIL.search(str(error))
    return " ".join(found[1].split())[:300] if found else _last_line(error)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:500]
