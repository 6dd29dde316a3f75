"""Where processes leave what cannot wait for their next answer, and how the driver gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_MOST_CALLS = 100_000
"""Calls that the actor takes at once: each process has one that waits."""


class Mailbox:
    """A small asynchronous actor on the driver's node.

    A letter has arrived when the driver asks for the next ones: so what was on its way to a
    driver when anything broke is sent again. Letters are bytes here, never looked into.
    """

    def __init__(self) -> None:
        self._letters: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._on_their_way: list[asyncio.Future[None]] = []
        self._news = asyncio.Event()
        self._news.set()  # the first call is answered at once: the mailbox is there
        self._asked = 0

    async def put(self, sender: str, letter: bytes) -> None:
        """Leave a letter; returns once it has arrived."""
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._letters.append((str(sender), bytes(letter), arrived))
        self._news.set()
        await arrived

    async def take(self) -> bytes:
        """Wait for letters or for a question; gives both as `Mail.read` takes them apart."""
        for future in self._on_their_way:
            if not future.done():
                future.set_result(None)
        self._on_their_way = []
        await self._news.wait()
        self._news.clear()
        letters, self._letters = self._letters, []
        self._on_their_way = [arrived for _, _, arrived in letters]
        lines = [
            sender.encode() + b" " + letter.replace(b"\n", b" ") for sender, letter, _ in letters
        ]
        return b"\n".join([b"%d" % self._asked, *lines])

    async def ask(self, number: int) -> None:
        """Let `take` return at once, with this number: all that was put before is with it."""
        self._asked = number
        self._news.set()


class Mail(NamedTuple):
    """What a call of `take` brought."""

    content: bytes
    error: BaseException | None

    def read(self) -> tuple[int, Iterator[tuple[str, bytes]]]:
        """The number of the last question that was heard, and each letter after its sender."""
        asked, *lines = self.content.split(b"\n")
        pairs = (line.partition(b" ") for line in lines)
        return int(asked), ((sender.decode(), letter) for sender, _, letter in pairs)


class Post:
    """The driver's side of a mailbox: one call of `take` is under way at any time.

    Ray starts the actor anew if it dies, under the same handle.

    Args:
        put: takes what came, in Ray's thread.
    """

    def __init__(self, put: Callable[[Mail], Any]):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._put, self._ray = put, ray
        here = ray.get_runtime_context().get_node_id()
        actor: Any = ray.remote(Mailbox)
        self.handle: Any = actor.options(
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=_MOST_CALLS,
            enable_task_events=False,
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True),
        ).remote()
        self.up = False
        """Whether it has answered, ever: before that nothing can lie in it."""
        self.broken = False
        """Whether the last call of `take` failed, and none is under way."""
        self._asked = 0
        self.take()

    def take(self) -> None:
        """Wait for the next mail; what came with the last one has arrived."""

        def arrived(future: Any) -> None:
            error = future.exception()
            self._put(Mail(b"0" if error is not None else future.result(), error))

        self.handle.take.remote().future().add_done_callback(arrived)

    def ask(self) -> int:
        """Have what lies in the mailbox by now brought; a mail with this number has all of it."""
        self._asked += 1
        self.handle.ask.remote(self._asked)
        return self._asked

    def close(self) -> None:
        """End the actor."""
        self._ray.kill(self.handle, no_restart=True)
