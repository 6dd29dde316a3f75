"""Shares that grow, on real devices: a sweep whose trials go from a quarter of a GPU to a whole one.

    python -m benchmarks.elastic [--trials 36] [--max-t 27] [--samples 65536] [--json FILE]

Each step trains a network on as many samples, in batches that grow with the share. Printed as
JSON: for every share how many attempts held it, the median seconds of a step, samples a second and
the most memory that torch took; the attempts of the trial that came furthest; and how much of all
device time was in use until no new trial began. On a machine without GPUs one is counted all the
same and torch computes on the CPU: that shows the moves, not the speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import raysweep
from raysweep.trials.clock import SystemClock

SMALLEST = 0.25
GROWTH = {3: 0.5, 9: 1}


class Net(raysweep.Trainable):
    """A network of four layers learns the norm of random vectors."""

    def setup(self, config: dict[str, Any]) -> None:
        """The model on the device, and no more of the device's memory than the share."""
        import torch

        self.clock = SystemClock()
        self.gpu_there = torch.cuda.is_available()
        self.device = "cuda" if self.gpu_there else "cpu"
        if self.gpu_there:
            torch.cuda.set_per_process_memory_fraction(min(self.gpu, 1.0))
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(self.seed)
        width, layers = config["width"], list[Any]()
        for inputs in (64, width, width):
            layers += [torch.nn.Linear(inputs, width), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1)).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config["lr"], momentum=0.9)
        self.samples = config["samples"]
        self.batch = int(config["samples"] / 16 * self.gpu / SMALLEST)

    def step(self) -> dict[str, float]:
        """As many samples whatever the share, in larger batches where it is larger."""
        import torch

        began_s, total = self.clock.now(), 0.0
        batches = self.samples // self.batch
        for _ in range(batches):
            x = torch.randn(self.batch, 64, device=self.device)
            loss = ((self.model(x) - x.norm(dim=1, keepdim=True)) ** 2).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += float(loss.detach())
        peak = torch.cuda.max_memory_allocated() if self.gpu_there else 0
        step_s = self.clock.now() - began_s
        return {"loss": total / batches, "step_s": step_s, "share": self.gpu, "peak_gb": peak / 1e9}

    def save(self, folder: Path) -> None:
        """The model; the optimizer's momentum is soon made anew."""
        from raysweep.trainables.checkpoint import save_torch

        save_torch(self.model.state_dict(), folder / "model.pt")

    def load(self, folder: Path) -> None:
        """What `save` wrote."""
        from raysweep.trainables.checkpoint import load_torch

        self.model.load_state_dict(load_torch(folder / "model.pt", self.device))


def facts(results: raysweep.Results, samples: int) -> dict[str, Any]:
    """What came of the sweep, in JSON data."""
    reports = results.arrow("reports").select(["share", "step_s", "peak_gb"]).to_pylist()
    attempts = results.arrow("attempts").to_pylist()
    shares = {}
    for share in sorted({row["share"] for row in reports}):
        rows = [row for row in reports if row["share"] == share]
        step_s = statistics.median(row["step_s"] for row in rows)
        shares[f"{share:g}"] = {
            "attempts": sum(row["gpu"] == share for row in attempts),
            "median_step_s": round(step_s, 5),
            "samples_per_s": round(samples / step_s),
            "peak_gb": round(max(row["peak_gb"] for row in rows), 3),
        }
    furthest = max(attempts, key=lambda row: row["end_step"])["trial_id"]
    columns = ("attempt", "start_step", "end_step", "gpu", "slot", "end", "setup_s")
    story = [
        {name: row[name] for name in columns} for row in attempts if row["trial_id"] == furthest
    ]
    return {"shares": shares, "furthest": {"trial": furthest, "attempts": story}}


def use(results: raysweep.Results, devices: int) -> float:
    """The part of all device time that was held while new trials still began."""
    attempts = results.arrow("attempts").to_pylist()
    until_s = max(row["started_at"] for row in attempts if row["attempt"] == 1)
    begun_s = min(row["started_at"] for row in attempts)
    held = sum(
        row["gpu"] * (min(row["ended_at"], until_s) - row["started_at"])
        for row in attempts
        if row["gpu"] and row["started_at"] < until_s
    )
    return float(held / devices / (until_s - begun_s))


def main() -> None:
    """Run one sweep and print what came of it."""
    import ray
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument("--max-t", type=int, default=27)
    parser.add_argument("--samples", type=int, default=65_536, help="of each step")
    parser.add_argument("--width", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    there = torch.cuda.device_count()
    width = asked.width or (2048 if there else 32)
    with tempfile.TemporaryDirectory() as folder:
        results = raysweep.run(
            Net,
            {"lr": raysweep.loguniform(1e-4, 3e-2), "width": width, "samples": asked.samples},
            metric="loss", trials=asked.trials, storage=folder, progress=False,
            scheduler={"name": "asha", "max_t": asked.max_t},
            resources={"cpu": 0.25, "gpu": SMALLEST, "gpu_from": GROWTH},
            cluster={"num_gpus": there or 1},
        )  # fmt: skip
        what = torch.cuda.get_device_name() if there else "CPU"
        found = {"device": what, "devices": there or 1, "ray": ray.__version__}
        found |= facts(results, asked.samples) | {"use": round(use(results, there or 1), 3)}
    text = json.dumps(found, indent=1)
    print(text)
    if asked.json:
        asked.json.write_text(text)


if __name__ == "__main__":
    main()
