"""The process that hosts a runner on Ray; `cluster.ray_pool` makes an actor of the class."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path
from typing import Any

from raysweep.trainables.courier import Courier
from raysweep.trainables.failures import failed
from raysweep.trainables.log import FOLDER as LOGS
from raysweep.trainables.runner import Holds, HostSpec, Runner
from raysweep.trainables.slot_guard import begin_guarding
from raysweep.trainables.trial_process import TrialProcess
from raysweep.trainables.wire import Wear, encode, encode_broken
from raysweep.trials.clock import SystemClock
from raysweep.trials.plain_json import encode_plain

_DELIVERY_S = 10.0
"""How long the mailbox may take to say that a letter has arrived before it is sent again."""


class TrialActor:
    """One slot's process.

    Training runs in its main thread, as code that handles signals, uses CUDA or calls Ray expects
    it: so an answer cannot leave before the step has ended. What must leave earlier goes through
    the driver's mailbox, by a second thread.

    Commands come as pickled bytes. What goes back is JSON, as training code runs here: the driver
    never unpickles what this process has made, and nothing that is raised here reaches it.

    Args:
        spec: what to run.
        gpu, cpu: what the process holds.
        mailbox: the driver's (`cluster.mailbox.Mailbox`), as an actor.
        key: under which the driver knows this process.
    """

    def __init__(self, spec: HostSpec, gpu: float, cpu: float, mailbox: Any, key: str):
        import ray

        self._budget_s = spec.report_batch_s
        node_id = ray.get_runtime_context().get_node_id()
        self._node = f"{socket.gethostname()}:{node_id[:8]}"
        begin_guarding(Path(spec.sweep).absolute() / LOGS)
        clock = SystemClock()
        process = TrialProcess(clock)
        runner = self._runner = Runner(spec, clock, self._node, Holds(gpu, cpu), process)

        def send(letter: bytes) -> None:
            ray.get(mailbox.put.remote(key, letter), timeout=_DELIVERY_S)

        self._courier = Courier(
            runner.outbox, lambda: runner.phase, send, clock,
            spec.report_batch_s, spec.pulse_s, spec.cleanup_s,
        )  # fmt: skip

    def describe(self) -> bytes:
        """Get ready for a first trial, and tell where the process runs, as JSON.

        `node` is the host and the beginning of Ray's id; `device` lists the indices of its accelerators on the node, "" if it has none.
        """
        import ray

        self._runner.warm()
        device = ",".join(str(gpu) for gpu in ray.get_gpu_ids())
        return encode_plain({"node": self._node, "pid": os.getpid(), "device": device}).encode()

    def exchange(self, commands: bytes) -> bytes:
        """Carry out a pickled list of pool actions; gives the letter of what came of it."""
        outbox = self._runner.outbox
        self._courier.begin()
        try:
            events = self._runner.exchange(pickle.loads(commands), self._budget_s)
            state = Wear(self._runner.worn, self._runner.returned)
            return encode(outbox.taken - len(events), events, wear=state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an exception would be unpickled in the driver
            return encode_broken(failed("", 0, error).traceback)
        finally:
            self._courier.end()
