"""Whether this process was told to end: SIGTERM comes with a node's shutdown, preemption, `ray stop`.

Ray's handler raises SystemExit in the training code, which may have a handler of its own, save and
exit, or raise something else. None of that is a failure of the training. The interpreter itself
notes each signal for which there is any handler in Python, whatever that does.
"""

from __future__ import annotations

import os
import signal
import socket
import threading


class Termination:
    """Listens for SIGTERM from now on; made in the process's main thread."""

    def __init__(self) -> None:
        self._noted, self._notes = socket.socketpair()
        self._noted.setblocking(False)
        self._notes.setblocking(False)
        self._told = False
        self._forking = False
        self.listen()
        os.register_at_fork(
            before=self._deafen, after_in_parent=self._go_on, after_in_child=self._deafen
        )

    def listen(self) -> None:
        """Begin again: training code may have used the interpreter's one place for this."""
        signal.set_wakeup_fd(self._notes.fileno(), warn_on_full_buffer=False)

    def _deafen(self) -> None:
        """A child has the handlers and the socket: what is sent to it is not meant for its parent."""
        if threading.current_thread() is not threading.main_thread():
            return  # in the child it is the main thread
        other = signal.set_wakeup_fd(-1)
        self._forking = other == self._notes.fileno()
        if not self._forking:
            signal.set_wakeup_fd(other)

    def _go_on(self) -> None:
        if self._forking and threading.current_thread() is threading.main_thread():
            self.listen()

    def received(self) -> bool:
        """Whether SIGTERM has come."""
        try:
            while read := self._noted.recv(4096):
                self._told = self._told or signal.SIGTERM in read
        except OSError:  # nothing more, or training code has closed it
            pass
        return self._told
