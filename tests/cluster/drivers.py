"""Drivers that the session's tests run in processes of their own; the first argument picks one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from raysweep.cluster.ray_pool import RayPool
from raysweep.cluster.resources import Resources
from raysweep.cluster.session import connect
from raysweep.trainables.load import ModuleCode
from raysweep.trainables.runner import HostSpec
from raysweep.trials.actions import Pause, Start
from raysweep.trials.clock import SystemClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Paused, Reported, SlotDown, SlotUp, Started
from raysweep.trials.trial import UNBOUNDED

WHY = Reason("test")


def _pool(max_slots: int | None = 1) -> RayPool:
    clock = SystemClock()
    code = ModuleCode("programs:behave", str(Path(__file__).parent))
    host = HostSpec(code, str(Path.cwd()), ("loss",))
    return RayPool(host, Resources(), clock=clock, origin_s=clock.now(), max_slots=max_slots)


def _await(pool: RayPool, kind: type[Any]) -> Any:
    for _ in range(240):
        for event in pool.poll(0.25):
            if isinstance(event, kind):
                return event
    raise SystemExit(f"no {kind.__name__}")


def _start(pool: RayPool) -> str:
    slot: str = _await(pool, SlotUp).slot
    pool.do(Start("t000001", 1, slot, {"step_s": 0.01}, 7, 0, None, UNBOUNDED, WHY))
    _await(pool, Reported)
    return slot


def run_for_ever() -> None:
    """Train until killed."""
    with connect("local", num_cpus=1) as session:
        pool = _pool()
        _start(pool)
        print("running", session.temp_dir, flush=True)
        while True:
            pool.poll(1.0)


def pause_on_ctrl_c() -> None:
    """Train until Ctrl-C, then pause the trial and leave."""
    with connect("local", num_cpus=1) as session:
        pool = _pool()
        slot = _start(pool)
        print("running", session.temp_dir, flush=True)
        try:
            while True:
                pool.poll(1.0)
        except KeyboardInterrupt:
            pool.do(Pause("t000001", 1, slot, WHY))
            print("paused", _await(pool, Paused).path, flush=True)
        pool.close()


def nodes_come_and_go() -> None:
    """Attach to a cluster of two nodes; lose one, which runs a trial, and get another one."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20}
    head = {"num_cpus": 0, "include_dashboard": False, **small}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, **small)]
    with connect(cluster.address) as session:
        assert not session.embedded
        pool = _pool(max_slots=None)
        slot = _start(pool)
        nodes.append(cluster.add_node(num_cpus=1, **small))
        print("new slot", _await(pool, SlotUp).slot != slot, flush=True)
        cluster.remove_node(nodes[0], allow_graceful=False)
        told: list[Any] = []
        while not any(isinstance(e, SlotDown) for e in told):
            told.extend(e for e in pool.poll(1.0) if not isinstance(e, Started | Reported))
        print("told", [type(e).__name__ for e in told], told[0].error, told[1].slot == slot)
        cluster.add_node(num_cpus=1, **small)
        print("again", _await(pool, SlotUp).slot not in (slot, "s0002"), flush=True)
        pool.close()
    cluster.shutdown()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
