"""Programs as W&B users write them, for the tests of `trainables/program*.py`."""

from __future__ import annotations

from pathlib import Path

from raysweep.trainables.program import Program, ProgramCode

TRAIN = """
import sys
import wandb

print("arguments", *sys.argv[1:])
run = wandb.init(project="demo", config={"lr": 9.0, "epochs": 3})
wandb.define_metric("loss", summary="min")
for epoch in range(wandb.config["epochs"]):
    wandb.log({"train": epoch})
    wandb.log({"loss": run.config.lr / (epoch + 1), "seen": {"batches": 10 * epoch}})
    print("epoch", epoch, flush=True)
run.summary["best"] = 0.25
wandb.log({"test": 7})
wandb.finish()
"""


def make(folder: Path, text: str = TRAIN, **changes: object) -> ProgramCode:
    """`train.py` in `folder`, which reports `loss`, with W&B switched off unless changed."""
    (folder / "train.py").write_text(text)
    code = ProgramCode(
        file="train.py",
        command=(),
        folder=str(folder),
        metrics=("loss",),
        names={},
        environment={"WANDB_MODE": "disabled"},
    )
    return code._replace(**changes)


def started(code: ProgramCode, **config: object) -> Program:
    """A trial of the program, set up."""
    program = code.load()()
    assert isinstance(program, Program)
    program.trial_id = "t000007"
    program.setup(config)
    return program
