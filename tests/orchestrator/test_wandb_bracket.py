"""The brackets of a W&B sweep as the rungs of our ASHA."""

from __future__ import annotations

from typing import Any

import pytest

from raysweep.orchestrator.wandb_bracket import read_early_terminate
from raysweep.trials.errors import SpecError
from tests.orchestrator.test_wandb_file import QUICKSTART, spec_of


@pytest.mark.parametrize(
    ("early", "options", "steps"),
    [
        # docs.wandb.ai, "Stopping criteria": min_iter 3, eta 3: brackets [3, 9, 27, ...]
        ({"min_iter": 3}, (3, 3 * 3**10, 3), "3, 9, 27, 81"),
        # the same page: max_iter 27, s 2: brackets [9, 3]
        ({"max_iter": 27, "s": 2}, (3, 27, 3), "3, 9 (W&B: 3, 9)"),
        ({"max_iter": 100, "s": 2, "eta": 3}, (11, 100, 3), "11, 33, 99 (W&B: 11, 33)"),
        ({"max_iter": 8, "s": 9, "eta": 2}, (1, 8, 2), "1, 2, 4 (W&B: 1, 2, 4)"),
        (
            {"min_iter": 2, "eta": 2.5, "strict": True},
            (2, 2 * 2**16, 2),
            "became the whole number 2",
        ),
        ({"min_iter": 2, "max_iter": 20}, (2, 20, 3), "2, 6, 18 (W&B: 2, 6, 18)"),
    ],
)
def test_brackets(early: dict[str, Any], options: tuple[int, int, int], steps: str) -> None:
    scheduler, text = read_early_terminate({"type": "hyperband", **early})
    grace, max_t, factor = options
    assert scheduler == {
        "name": "asha", "form": "stopping", "grace_period": grace, "max_t": max_t,
        "reduction_factor": factor,
    }  # fmt: skip
    assert steps in text
    assert ("strict is not taken" in text) is ("strict" in early)
    assert spec_of(QUICKSTART, early_terminate={"type": "hyperband", **early}).scheduler == {
        **scheduler,
        "brackets": 1,
    }


@pytest.mark.parametrize(
    ("early", "message"),
    [
        ({"type": "envelope"}, "early_terminate.type: got 'envelope'"),
        ({"type": "hyperband"}, "give min_iter, or max_iter with s"),
        ({"type": "hyperband", "max_iter": 2, "s": 1, "eta": 3}, "raise max_iter or lower s"),
        ({"type": "hyperband", "min_iter": 3, "eta": 1}, "eta: got 1"),
        ({"type": "hyperband", "min_iter": 0}, "min_iter: got 0"),
        ({"type": "hyperband", "min_itr": 3}, "did you mean 'min_iter'"),
    ],
)
def test_brackets_that_make_no_sense(early: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_early_terminate(early)
