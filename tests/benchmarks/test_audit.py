"""The benchmark of audits: its truth, on curves whose ends are known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import audit
from raysweep.cluster.recordings import recording
from tests.benchmarks.tables import write_taskset


@pytest.mark.parametrize("rule", audit.RULES)
def test_where_curves_never_cross_nothing_is_lost_and_every_interval_says_so(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of config c falls from c + 2 to c + 1: the best at any step is the best at the end."""
    loss = np.tile(np.linspace(2.0, 1.0, 51), (600, 1)) + np.arange(600)[:, None]
    name = write_taskset(tmp_path, loss)
    monkeypatch.setattr(audit, "recording", lambda bench: recording(bench, tmp_path))
    row = audit.summary(name, rule, 0.2, range(3))
    assert row["sweeps"] == 3
    assert 0 < row["audited"] < row["condemned"] < audit.TRIALS
    for what in ("best", "survivor", "regret"):
        assert (row[what]["covered"], row[what]["truth"]) == (1.0, 0.0)
    assert row["seconds"]["truth"] > 1_000


def test_where_those_at_the_back_win_in_the_end_the_truth_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All order is turned round at step 40: nearly all condemned would have been the best."""
    place = np.arange(600)[:, None] / 600
    loss = np.tile(np.linspace(2.0, 1.0, 51), (600, 1)) + place
    loss[:, 40:] = 0.5 - place
    name = write_taskset(tmp_path, loss)
    monkeypatch.setattr(audit, "recording", lambda bench: recording(bench, tmp_path))
    row = audit.summary(name, "asha, stopping", 0.2, range(3))
    assert row["survivor"]["truth"] > 0.5
    assert row["regret"]["truth"] > 0.1
    assert row["survivor"]["covered"] > 0.5
