"""Trials that share a real GPU: how much sooner they are done, and what running out of memory costs.

    python -m benchmarks.gpu --json benchmarks/results/gpu.json

*Packing*: the same trials of a small network at 1, 1/2, 1/4 and 1/8 of the device each, and the
seconds from the first attempt's start to the last one's end. *Out of memory*: one trial in four asks
for more than the device has. Printed is how such trials ended and by which class of error,
that the others completed, and how much memory torch still held of the trial before when the next one
began in the same process. Needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import raysweep

STEPS = 10
SHARES = (1.0, 0.5, 0.25, 0.125)


def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    """A small network on the norm of random vectors; too large a `reserve_gb` cannot be had."""
    import torch

    held_gb = torch.cuda.memory_reserved() / 1e9  # by the trial before, in the same process
    reserve_gb = float(config["reserve_gb"])
    block = torch.empty(int(reserve_gb * 2.5e8), dtype=torch.float32, device="cuda")
    block.fill_(1.0)
    width = 256
    model = torch.nn.Sequential(
        torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, width),
        torch.nn.ReLU(), torch.nn.Linear(width, 1),
    ).to("cuda")  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=float(config["lr"]))
    for _ in range(STEPS):
        for _ in range(200):
            x = torch.randn(512, 64, device="cuda")
            loss = ((model(x) - x.norm(dim=1, keepdim=True)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield {"loss": float(loss.detach()), "held_gb": held_gb}


def sweep(share: float, trials: int, reserve_gb: list[float], storage: str) -> raysweep.Results:
    """The same trials, each with `share` of the device."""
    return raysweep.run(
        train,
        {"lr": raysweep.loguniform(1e-4, 1e-2), "reserve_gb": raysweep.choice(reserve_gb)},
        metric="loss", trials=trials, storage=storage, progress=False, max_failed_share=1.0,
        resources={"cpu": 0.5, "gpu": share}, searcher="random",
    )  # fmt: skip


def packing(trials: int) -> list[dict[str, Any]]:
    """Seconds of the trials by the share that each had."""
    rows = []
    for share in SHARES:
        with tempfile.TemporaryDirectory() as folder:
            results = sweep(share, trials, [0.05], folder)
            attempts = results.attempts
            spent_s = float(attempts["ended_at"].max() - attempts["started_at"].min())
            ended = dict(Counter(results.trials["status"]))
            rows.append({"share": share, "trials": ended, "seconds": round(spent_s, 2)})
            rows[-1]["closed"] = results.status()["reason"]
            print(rows[-1], flush=True)
    return rows


def out_of_memory(total_gb: float) -> dict[str, Any]:
    """What became of trials of which one in four asks for twice the device's memory."""
    with tempfile.TemporaryDirectory() as folder:
        results = sweep(0.25, 24, [0.05, 1.0, 2.0, 2 * total_gb], folder)
        trials, attempts = results.trials, results.attempts
        too_large = trials["config/reserve_gb"] > total_gb
        held_gb = results.reports["held_gb"].max()
        ended = {
            "too large": dict(Counter(trials[too_large]["status"])),
            "others": dict(Counter(trials[~too_large]["status"])),
            "attempts": {str(k): n for k, n in Counter(attempts["end"]).items()},
            "held_gb": round(float(held_gb), 3),
        }
        print(ended, flush=True)
        return ended


def main() -> None:
    import ray
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--json", type=Path, help="where to write what was found")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no GPU here; with logical ones there is nothing to measure")
    total_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    found = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "ray": ray.__version__,
        "out_of_memory": out_of_memory(total_gb), "packing": packing(options.trials),
    }  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
