from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.orchestrator.shares import Shares, parts, read_shares
from raysweep.trials.errors import SpecError


def test_a_trial_that_may_run_beyond_a_step_gets_the_size_given_from_there() -> None:
    shares = Shares(((9, 2), (27, 4)))
    assert [shares.size(step) for step in (1, 9, 10, 27, 28, 1 << 53)] == [1, 1, 2, 2, 4, 4]


def test_sizes_count_smallest_slots() -> None:
    assert read_shares(0.25, 1.0, ((9, 0.5), (27, 1.0)), ()) == ((9, 2), (27, 4))
    assert read_shares(1 / 6, 1.0, ((3, 1 / 3), (9, 1.0)), ()) == ((3, 2), (9, 6))
    assert read_shares(0.33, 1.0, ((9, 1.0),), ()) == ((9, 3),)  # 0.33 means a third
    assert read_shares(0.0, 2.0, (), ((3, 4.0), (9, 12.0))) == ((3, 2), (9, 6))
    assert read_shares(0.25, 1.0, (), ()) == ()


@pytest.mark.parametrize(
    ("gpu", "cpu", "gpu_from", "cpu_from", "message"),
    [
        (1.0, 1.0, ((9, 1.0),), (), "gpu is 1; give gpu a share below 1"),
        (0.0, 1.0, ((9, 1.0),), (), "gpu is 0; give gpu a share below 1"),
        (0.3, 1.0, ((9, 1.0),), (), "1 / 0.3 is no whole number; take 0.3333 or 0.25"),
        (0.25, 1.0, ((9, 0.75),), (), "9: 0.75 cannot be made .* allowed are 0.5, 1"),
        (0.25, 1.0, ((9, 0.25),), (), "allowed are 0.5, 1"),
        (0.25, 1.0, ((9, 2.0),), (), "allowed are 0.5, 1"),
        (1 / 6, 1.0, ((3, 0.5), (9, 1 / 3)), (), "9: 0.333333 .* of 0.5 GPU; allowed are 1"),
        (0.25, 1.0, ((3, 1.0), (9, 1.0)), (), "of 1 GPU; allowed are nothing more"),
        (0.25, 1.0, ((0, 0.5),), (), "begins at step 0; the first step .* is 1"),
        (0.25, 1.0, (), ((9, 2.0),), "cpu_from is for sweeps without GPUs, and gpu is 0.25"),
        (0.0, 2.0, (), ((9, 3.0),), "9: 3 cannot be made .* of 2 cores; allowed are 4, 6, 8"),
        (0.0, 1.0, (), ((3, 2.0), (9, 3.0)), "9: 3 cannot .* of 2 cores; allowed are 4, 6, 8"),
        (0.0, 0.0, (), ((3, 2.0),), "cpu is 0; give cpu an amount"),
    ],
)
def test_what_cannot_be_joined_is_refused_with_what_can(
    gpu: float,
    cpu: float,
    gpu_from: tuple[tuple[int, float], ...],
    cpu_from: tuple[tuple[int, float], ...],
    message: str,
) -> None:
    with pytest.raises(SpecError, match=message):
        read_shares(gpu, cpu, gpu_from, cpu_from)


def test_survivors_share_out_the_room() -> None:
    """Four devices of four: 16 units."""
    shares = Shares(elastic=True)
    sizes = [shares.survivors(claimants, 16, 4) for claimants in (1, 2, 4, 5, 8, 9, 16, 40)]
    assert sizes == [4, 4, 4, 2, 2, 1, 1, 1]
    assert shares.survivors(1, 6, 6) == 6, "the whole device, though six is no power of two"
    assert shares.survivors(2, 6, 6) == 2


@given(st.integers(1, 50), st.integers(1, 64), st.integers(1, 16))
def test_survivors_never_want_more_than_there_is(claimants: int, units: int, device: int) -> None:
    size = Shares().survivors(claimants, units, device)
    assert size == 1 or (size * claimants <= units and size <= device)


@given(st.integers(2, 64))
def test_a_share_written_with_four_digits_makes_one_gpu(count: int) -> None:
    assert parts(round(1 / count, 4)) == count
