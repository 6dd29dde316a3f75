"""Processes with sweeps in threads, and what an embedded Ray opens; the first argument picks one."""

from __future__ import annotations

import ipaddress
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import raysweep
from raysweep.cluster.session import connect


def steps(count: int, step_s: float) -> Callable[..., Iterator[dict[str, float]]]:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        for step in range(count):
            threading.Event().wait(step_s)
            yield {"loss": 1.0 / (step + 1)}

    return train


said: dict[str, str] = {}


def run(name: str, count: int, step_s: float, cpus: int | None = 2) -> None:
    try:
        found = raysweep.run(
            steps(count, step_s), {"x": raysweep.uniform(0, 1)}, metric="loss", trials=1, name=name,
            cluster={"num_cpus": cpus, "max_slots": 1}, progress=False,
        )  # fmt: skip
        said[name] = f"{name} {found.status()['state']} {len(found.reports)}"
    except raysweep.RaysweepError as error:
        said[name] = f"{name}: {error}".partition(";")[0]


def start(*arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=run, args=arguments)
    thread.start()
    return thread


def one_after_the_other() -> None:
    """The thread that starts Ray ends first; another sweep is refused, one begins as all end."""
    short = start("short", 2, 0.5)
    while not Path("sweeps/short/wal").exists():
        threading.Event().wait(0.05)
    long = start("long", 14, 1.0)
    short.join()
    print(said["short"])
    refused = start("refused", 1, 0.1, 1)
    refused.join()
    print(said["refused"])
    long.join()
    print(said["long"])
    run("main", 2, 0.1)  # in the main thread, as the thread's Ray is just gone
    print(said["main"])
    run("again", 2, 0.1, None)
    print(said["again"])


def listen() -> None:
    """Every socket on which this process or one below it listens, and the mode of Ray's folder."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    with connect("local", num_cpus=1) as session:
        raysweep_names = {p: _name(p) for p in _tree(os.getpid())}
        owners = {socket: pid for pid in raysweep_names for socket in _sockets(pid)}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in owners:
                    print(_address(words[1]), raysweep_names[owners[words[9]]])
        print(oct(session.temp_dir.stat().st_mode)) if session.temp_dir else None
    print("as before" if before == ray_constants.ENABLE_RAY_CLUSTER else "changed")


def _address(text: str) -> str:
    raw = bytes.fromhex(text.partition(":")[0])
    words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    found = ipaddress.ip_address(words)
    mapped = getattr(found, "ipv4_mapped", None)
    return f"::ffff:{mapped}" if mapped else str(found)


def _tree(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for parent in found:
        found.extend(child for child, of in parents.items() if of == parent)
    return found


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:60] or "-"


def _sockets(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(entry.readlink())
        except OSError:
            continue
        if link.startswith("socket:"):
            found.append(link[8:-1])
    return found


if __name__ == "__main__":
    globals()[sys.argv[1]]()
