"""Runs or resumes the sweep of a spec, saying when it is under way; made to be killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, SlotUp


def main() -> int:
    spec = SweepSpec.from_yaml(sys.argv[1])
    path = spec.storage_path / spec.name
    sweep = Sweep.reopen(path) if (path / "SWEEP.json").exists() else Sweep.create(spec)

    def observe(event: Event, verdicts: Sequence[Verdict]) -> None:
        if isinstance(event, SlotUp):
            print("up", flush=True)

    return sweep.run(observe=observe).exit_code


if __name__ == "__main__":
    sys.exit(main() if Path(sys.argv[1]).exists() else 2)
