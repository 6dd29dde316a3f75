"""The speed of devices, learnt from step times."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.speeds import Speeds, fit
from raysweep.trials.streams import Stream

LOG_2 = math.log(2.0)


def test_by_hand_one_trial_on_two_devices() -> None:
    """Its two step times differ by log 2 with variance 2 · 0.1²; what was expected was 0 with 1.

    The posterior mean is log 2 · 1 / (1 + 2 · 0.1²) = log 2 / 1.02, whatever the config takes.
    """
    _, slower = fit([[(5.0, 0), (5.0 + LOG_2, 1)]], 1)
    assert slower == pytest.approx(LOG_2 / 1.02)


def test_by_hand_trials_on_one_device_each() -> None:
    """Two trials, which may differ by as much as configs do: variance 2 · (1 + 0.1²) at first.

    The fit leaves μ at the mean of what remains: residuals ∓r, r = log 2 · (1 − 1/(1 + v)) / 2 of
    variance v/2 each. σ_a² becomes (4 + 2 r²) / (4 + 2), and so on for four rounds.
    """
    spread2 = 1.0
    for _ in range(4):
        variance = 2.0 * (spread2 + 0.01)
        slower = LOG_2 / (1.0 + variance)
        rest = (LOG_2 - slower) / 2.0
        spread2 = (4.0 + 2.0 * rest**2) / 6.0
    assert fit([[(5.0, 0)], [(5.0 + LOG_2, 1)]], 1)[1] == pytest.approx(slower)


def test_a_trial_that_ran_on_two_unknown_devices_ties_them_together() -> None:
    """Device 1 is as fast as the reference, and device 2 takes twice as long as device 1."""
    _, first, second = fit([[(1.0, 0), (1.0, 1)], [(0.0, 1), (LOG_2, 2)]], 2)
    assert first == pytest.approx(0.0, abs=0.02)
    assert second == pytest.approx(LOG_2, rel=0.1)


def test_an_odd_trial_does_not_turn_the_average() -> None:
    means = [[(0.1 * (i % 3), i % 2)] for i in range(30)]
    odd = [*means, [(9.0, 1)]]  # 8,000 times as long
    assert abs(fit(odd, 1)[1] - fit(means, 1)[1]) < 0.1
    unweighted = 9.0 / 16
    assert unweighted > 0.5


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), slower=st.sampled_from([0.5, 2.0, 5.0]))
def test_trials_that_move_tell_the_ratio_though_configs_differ_tenfold(
    seed: int, slower: float
) -> None:
    """12 trials that ran on both: the ratio within 10 %, three standard deviations of its mean."""
    speeds, stream = Speeds({}), Stream(seed, "speeds")
    for trial in range(12):
        step_s = stream.lognormal(3.0, 1.0)
        for _ in range(30):
            speeds.heard(f"t{trial}", "fast", stream.lognormal(step_s, 0.1))
        for _ in range(30):
            speeds.heard(f"t{trial}", "slow", stream.lognormal(step_s * slower, 0.1))
    assert speeds.of("fast") == 1.0
    assert speeds.of("slow") == pytest.approx(1.0 / slower, rel=0.1)


def test_without_evidence_every_device_is_as_fast_as_the_first() -> None:
    speeds = Speeds({})
    assert speeds.of("fast") == 1.0
    speeds.heard("a", "fast", 1.0)
    speeds.heard("b", "other", 0.0)  # not measured
    assert speeds.of("other") == speeds.of("never seen") == 1.0


def test_what_is_given_is_not_learnt_and_the_rest_is_learnt_beside_it() -> None:
    speeds = Speeds({"H100": 1.0, "T4": 0.2})
    for _ in range(20):
        speeds.heard("a", "T4", 50.0)
        speeds.heard("a", "A100", 20.0)
    assert speeds.of("T4") == pytest.approx(0.2)
    assert speeds.of("A100") == pytest.approx(0.5, rel=0.05)  # 20 s instead of 50 s at 0.2


def test_state_is_small_however_many_trials_there_were_and_json_carries_it() -> None:
    speeds = Speeds({})
    for number in range(1000):
        speeds.heard(f"t{number}", f"d{number % 2}", 1.0 + number % 2)
    text = json.dumps(speeds.state())
    assert len(text) < 20_000
    copy = Speeds({})
    copy.load(json.loads(text))
    for each in (speeds, copy):
        for number in range(50):
            each.heard("again", f"d{number % 2}", 1.0 + number)
    assert json.dumps(copy.state()) == json.dumps(speeds.state())
    assert speeds.of("d1") == copy.of("d1") == pytest.approx(0.5, rel=0.1)
