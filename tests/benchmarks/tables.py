"""A small table in the form of LCBench's, for tests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.recorded import METRIC, TABLE


def write_table(data: Path, configs: int, backwards_at: int | None = None) -> None:
    """52 epochs of one second; the loss of config c at epoch e is 100 · c + e.

    Args:
        data: the folder to write into.
        configs: how many.
        backwards_at: an epoch whose clock is recorded a second before that of the epoch before.
    """
    index = pd.MultiIndex.from_product([range(configs), range(52)], names=["trial", "epoch"])
    rows = [
        (100.0 * config + epoch, epoch - 2.0 if epoch == backwards_at else float(epoch))
        for config, epoch in index
    ]
    path = data / TABLE
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows, index=index, columns=[METRIC, "time"]).to_parquet(path)
