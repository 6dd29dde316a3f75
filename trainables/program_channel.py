"""The trial's end of the wire to its program: one JSON object a line over a Unix socket.

| program → trial | trial → program |
|---|---|
| `{"pid": 17}` when it calls `wandb.init` | `{"config": …, "metrics": […], "reports": true}` |
| `{"report": {…}}`, and waits | `{"go": true}` when the next step is wanted |
| `{"last": {…}}` at its end | |

Of several processes of one program (ranks of a distributed training) the first one reports; to the
others `reports` is false, and they are never kept waiting.
"""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Said(NamedTuple):
    """What the program told: a report for which it waits, or nothing since it has `ended`."""

    report: dict[str, Any] | None
    ended: bool = False


class Channel:
    """Listens for the program's processes.

    Args:
        path: where the socket is made.
        welcome: `config` and `metrics` as the program is told them.
    """

    def __init__(self, path: Path, welcome: Mapping[str, Any]) -> None:
        self._welcome = dict(welcome)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._peers: dict[socket.socket, bytearray] = {}
        self._reporter: socket.socket | None = None
        self._report: dict[str, Any] | None = None
        self.last: dict[str, Any] = {}
        """Metrics that the program logged after its last report."""

    def go(self) -> None:
        """Let the program, which waits in its last report, go on."""
        self._tell(self._reporter, {"go": True})

    def hear(self, end: int, timeout_s: float | None = None) -> Said:
        """Wait for the next report, or until the file descriptor `end` can be read.

        With a timeout, `timeout_s` of silence count as nothing said.
        """
        while self._report is None:
            heard: list[Any] = [self._listener, *self._peers, end]
            ready, _, _ = select.select(heard, [], [], timeout_s)
            if not ready:
                return Said(None)
            for peer in ready:
                if peer is self._listener:
                    self._peers[self._listener.accept()[0]] = bytearray()
                elif isinstance(peer, socket.socket):
                    self._read(peer)
            if self._report is None and ready == [end]:  # whatever was said before is heard
                return Said(None, ended=True)
        report, self._report = self._report, None
        return Said(report)

    def close(self) -> None:
        """Hang up."""
        for peer in (self._listener, *self._peers):
            peer.close()
        self._peers.clear()

    def _read(self, peer: socket.socket) -> None:
        try:
            read = peer.recv(1 << 20)
        except ConnectionError:
            read = b""
        if not read:
            self._forget(peer)
            return
        *lines, rest = (bytes(self._peers[peer]) + read).split(b"\n")
        self._peers[peer] = bytearray(rest)
        for line in lines:
            self._take(peer, json.loads(line))

    def _forget(self, peer: socket.socket) -> None:
        del self._peers[peer]
        peer.close()
        if peer is self._reporter:
            self._reporter = None

    def _take(self, peer: socket.socket, message: dict[str, Any]) -> None:
        if "pid" in message:
            if self._reporter is None:
                self._reporter = peer
            self._tell(peer, {**self._welcome, "reports": peer is self._reporter})
        elif "report" in message:
            self.last = {}
            self._report = message["report"]
        elif "last" in message:
            self.last.update(message["last"])

    def _tell(self, peer: socket.socket | None, message: Mapping[str, Any]) -> None:
        if peer is None:
            return
        try:
            peer.sendall(json.dumps(message).encode() + b"\n")
        except ConnectionError:
            self._forget(peer)
