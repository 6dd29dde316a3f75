"""The process that hosts a runner on Ray; `cluster.ray_pool` makes an actor of the class."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path
from typing import Any

from raysweep.trainables.log import FOLDER as LOGS
from raysweep.trainables.runner import Holds, HostSpec, Runner
from raysweep.trainables.slot_guard import begin_guarding
from raysweep.trainables.trial_process import TrialProcess
from raysweep.trials.clock import SystemClock


class TrialActor:
    """One slot's process.

    Commands and events travel as pickled bytes: Ray passes bytes on as they are, while plain
    objects go through its slower serializer, and both ends are raysweep. `gpu` and `cpu` are what
    the process holds.
    """

    def __init__(self, spec: HostSpec, gpu: float, cpu: float):
        import ray

        self._budget_s = spec.report_batch_s
        node_id = ray.get_runtime_context().get_node_id()
        self._node = f"{socket.gethostname()}:{node_id[:8]}"
        begin_guarding(Path(spec.sweep).absolute() / LOGS)
        clock = SystemClock()
        self._runner = Runner(spec, clock, self._node, Holds(gpu, cpu), TrialProcess(clock))

    def describe(self) -> dict[str, Any]:
        """Get ready for a first trial, and tell where the process runs.

        `node` is the host and the beginning of Ray's id; `device` lists the indices of its accelerators on the node, "" if it has none.
        """
        import ray

        self._runner.warm()
        return {
            "node": self._node,
            "pid": os.getpid(),
            "device": ",".join(str(gpu) for gpu in ray.get_gpu_ids()),
        }

    def exchange(self, commands: bytes) -> bytes:
        """Carry out a pickled list of pool actions; gives a pickled triple: the events, why
        this process can run no further trial ("" if it can), and what it has therefore not done.
        """
        events = self._runner.exchange(pickle.loads(commands), self._budget_s)
        answer = events, self._runner.worn, self._runner.returned
        self._runner.returned = []
        return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
