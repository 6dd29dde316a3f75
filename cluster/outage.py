"""Notices that Ray itself is gone, before Ray ends this process with words of its own.

Ray 2.60 ends a driver by `exit(1)` 60 s after it has lost the GCS, and at its next word with a raylet
that is gone, which no exception handler sees. Both listen on TCP ports, so a connection that is
refused tells of it in time. (Ray's own calls cannot: `ray.nodes()` waits for the GCS until then.)
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from raysweep.trials.errors import ClusterLost

_GCS_S = 45.0
"""How long the GCS may be away. A fault tolerant one comes back meanwhile, and the trials go on:
slots speak with the driver directly. Below the 60 s after which Ray ends this process."""
_RAYLET_S = 3.0
"""The same for the driver's own raylet, which never comes back under the same address."""
_CONNECT_S = 5.0


class Server(NamedTuple):
    """One of Ray's servers.

    Attributes:
        what: what it is called in messages.
        host, port: where it listens.
        patience_s: how long it may be away.
    """

    what: str
    host: str
    port: int
    patience_s: float

    def listens(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection((self.host, self.port), timeout=_CONNECT_S).close()
        except OSError:
            return False
        return True


def servers() -> list[Server]:
    """What this driver cannot do without: the cluster's GCS, and the raylet of its own node."""
    import ray

    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    found = [Server(f"the GCS at {context.gcs_address}", host.strip("[]"), int(port), _GCS_S)]
    own = context.get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == own:
            at, port = node["NodeManagerAddress"], node["NodeManagerPort"]
            found.append(Server(f"the raylet of this machine ({at}:{port})", at, port, _RAYLET_S))
    return found


class OutageWatcher:
    """Puts a `ClusterLost` once, when one of `watched` has been away for longer than it may.

    Args:
        put: takes the error, in a thread of this watcher's own.
        watched: the servers.
        period_s: how often each is tried; so often it has to fail, too, within its patience.
    """

    def __init__(
        self, put: Callable[[ClusterLost], Any], watched: list[Server], period_s: float = 1.0
    ):
        self._put, self._watched, self._period_s = put, watched, period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="raysweep-outage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=_CONNECT_S)

    def _watch(self) -> None:
        away = dict.fromkeys(self._watched, 0)  # tries that failed, in a row
        while not self._stop.wait(self._period_s):
            for server in self._watched:
                away[server] = 0 if server.listens() else away[server] + 1
                if away[server] * self._period_s >= server.patience_s:
                    self._put(
                        ClusterLost(
                            f"Ray is gone: {server.what} has taken no connection for "
                            f"{server.patience_s:g} s. All that was reported is on record; once "
                            "there is a Ray again, `raysweep resume` goes on"
                        )
                    )
                    return
