"""The multi-fidelity benchmark: what runs give, that they are kept, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import multifidelity, synetune
from benchmarks.contenders import check, rule_of, run
from benchmarks.contest import Contest
from benchmarks.multifidelity import gather, read_options
from benchmarks.peers import ENVIRONMENTS
from benchmarks.speedups import Judge, report, speedup, summary, time_s
from raysweep.cluster.recorded import ROW, Recording
from raysweep.cluster.recordings import recording
from raysweep.trials.streams import Stream
from tests.benchmarks.tables import write_taskset


@pytest.fixture
def task(tmp_path: Path) -> Recording:
    """600 configs; the loss of config c falls from c + 2 to c + 1, the worst ones diverge."""
    loss = np.tile(np.linspace(2.0, 1.0, 51), (600, 1)) + np.arange(600)[:, None]
    loss[500:, 5:] = np.nan
    return recording(write_taskset(tmp_path, loss), tmp_path)


CONTENDERS = (
    "fifo/random", "asha/random", "asha-stopping/tpe", "hyperband/random", "median/random",
    "ray-asha/random", "ray-hyperband/random", "optuna-median/optuna-random",
    "optuna-halving/optuna-tpe", "optuna-hyperband/optuna-tpe",
)  # fmt: skip


@pytest.mark.parametrize("contender", CONTENDERS)
def test_every_contender_is_timed_by_the_recording(task: Recording, contender: str) -> None:
    contest = Contest(task, workers=2, seed=0, until_s=300.0)
    rows = run(contender, contest)
    assert rows["score"].is_monotonic_decreasing
    assert rows["at_s"].is_monotonic_increasing
    assert rows["at_s"].max() <= 300.0
    # one step is one second, so two workers make at most 600 of them, and waste few
    assert 590 <= rows["steps"].iloc[0] <= 600
    # its config's loss after 50 steps is that of step s less 0.02 · (50 - s)
    fall = 0.02 * (50 - rows["step"])
    assert (rows["score"] - rows["final"]).to_numpy() == pytest.approx(fall.to_numpy(), abs=1e-6)
    again = run(contender, contest)
    kept = ["at_s", "score", "final", "step", "trials", "steps"]
    assert again[kept].equals(rows[kept])


def test_rules_save_steps_and_fifo_does_not(task: Recording) -> None:
    contest = Contest(task, workers=2, seed=0, until_s=300.0)
    trials = {name: run(name, contest)["trials"].iloc[0] for name in CONTENDERS[:2]}
    # 300 s of 50 steps a trial are 6 trials for each of two workers, and two more at the end
    assert 12 <= trials["fifo/random"] <= 14
    assert trials["asha/random"] > 40


def test_time_passes_for_the_searcher_only_where_it_is_charged(
    task: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10**6))
    for module in ("idle", "contest", "optuna_pruners"):  # each suggestion takes a second
        monkeypatch.setattr(f"benchmarks.{module}.processor_s", lambda: next(ticks))
    for contender in ("fifo/random", "optuna-median/optuna-random"):
        free, charged = (
            run(contender, Contest(task, 1, 0, 100.0, charge)) for charge in (False, True)
        )
        assert free["at_s"].iloc[0] == 1.0
        assert charged["at_s"].iloc[0] == pytest.approx(2.0)
        assert free["cpu_s"].iloc[0] == free["trials"].iloc[0]


def test_rules_end_at_the_recording_s_last_step_with_the_peers_factor() -> None:
    assert rule_of("asha-stopping", 50) == {
        "name": "asha", "form": "stopping", "max_t": 50, "reduction_factor": 3,
    }  # fmt: skip
    assert rule_of("asha@reduction_factor=4+form=stopping", 50)["reduction_factor"] == 4
    assert rule_of("fifo", 50) == {"name": "fifo", "max_t": 50}
    seconds = rule_of("asha@unit=seconds", 50, 420.0)  # 8.4 s an epoch
    assert (seconds["max_t"], seconds["grace_period"], seconds["unit"]) == (420, 8, "seconds")
    assert rule_of("asha@unit=seconds+max_t=900", 50, 420.0)["max_t"] == 900


@pytest.mark.parametrize(
    ("contender", "message"),
    [
        ("asha", "write RULE/SEARCHER"),
        ("asah/random", "no rule 'asah'; did you mean 'asha'"),
        ("asha/rendom", "asha takes no searcher 'rendom'; did you mean 'random'"),
        ("optuna-median/tpe", "takes no searcher 'tpe'; allowed: optuna-tpe"),
        ("dehb/random", "scheduler dehb: .* searcher is random"),
    ],
)
def test_what_is_no_contender_is_refused_with_the_nearest(contender: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(contender)


# -- runs are kept -------------------------------------------------------------------------------


def options(task: Recording, data: Path, *more: str) -> Any:
    words = [
        "--on", task.name, "--data", str(data), "--work", str(data / "work"), "--workers", "2",
        "--seeds", "2", "--schedulers", "fifo,asha", "--searchers", "random", "--trainings", "5",
        "--peers", "", "--baseline", "fifo/random", *more,
    ]  # fmt: skip
    return read_options(words)


def test_a_second_call_runs_only_what_is_missing(
    task: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gather(options(task, tmp_path, "--only-stored")).empty
    first = gather(options(task, tmp_path))
    assert first.groupby(["contender", "seed"]).ngroups == 4
    ran: list[Any] = []
    real = multifidelity._run
    monkeypatch.setattr(
        multifidelity, "_run", lambda cell, data: ran.append(cell) or real(cell, data)
    )
    again = gather(options(task, tmp_path, "--seeds", "3"))
    assert [(cell.contender, cell.seed) for cell in ran] == [("fifo/random", 2), ("asha/random", 2)]
    assert again[again["seed"] < 2].reset_index(drop=True).equals(first)


def test_a_list_of_configs_that_is_too_short_is_left_out(task: Recording, tmp_path: Path) -> None:
    # 600 configs are four times what 2 workers need for 75 trainings, and not for 76
    assert not gather(options(task, tmp_path, "--trainings", "75", "--seeds", "1")).empty
    assert gather(options(task, tmp_path, "--trainings", "76")).empty


def test_a_baseline_may_have_longer(task: Recording, tmp_path: Path) -> None:
    given = options(task, tmp_path, "--trainings-of", "fifo/random=8", "--seeds", "1")
    until_s = gather(given).groupby("contender")["until_s"].first()
    assert until_s.to_dict() == {"fifo/random": 8 * 50.0, "asha/random": 5 * 50.0}


def test_bad_options_are_refused_before_anything_runs(
    task: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, message in (
        (["--on", "taskset:smell"], "did you mean 'small'"),
        (["--schedulers", "asah"], "did you mean 'asha'"),
        (["--baseline", "asha/tpe"], "takes no part"),
        (["--workers", "four"], "'four'"),
        (["--trainings-of", "asha/tpe=9"], "'asha/tpe' takes no part"),
        (["--trainings-of", "asha/random=x"], "'x'"),
    ):
        with pytest.raises(SystemExit):
            options(task, tmp_path, *more)
        assert message in capsys.readouterr().err


# -- what is made of them ------------------------------------------------------------------------


def rows() -> pd.DataFrame:
    """Two tasks of 10 s a training, two seeds, 20 trainings: `slow` needs three times as long."""
    parts = []
    for contender, factor in (("base", 1.0), ("slow", 3.0)):
        for task in ("a", "b"):
            for seed in (0, 1):
                at_s = [10.0 * factor, 40.0 * factor]
                part = pd.DataFrame({"at_s": at_s, "regret_score": [0.5, 0.05], "step": 1})
                parts.append(part.assign(contender=contender, task=task, seed=seed))
    whole = pd.concat(parts).assign(workers=4, trials=7, steps=9, cpu_s=0.1, until_s=200.0)
    return whole.assign(training_s=10.0, trainings=20.0, regret_final=lambda r: r["regret_score"])


JUDGE = Judge("score", (0.1, 0.01), "base")


def test_regret_is_read_at_the_marks_and_time_at_the_first_hit() -> None:
    runs = summary(rows(), JUDGE).set_index(["contender", "task", "seed"])
    slow = runs.loc[("slow", "a", 0)]
    # 2.5 and 5 trainings are 25 and 50 s: the first find is of 30 s; the second, of 120 s, by 20
    assert slow[["@2.5", "@5", "@10", "@20"]].tolist() == [0.5, 0.5, 0.5, 0.05]
    assert slow["to 0.1"] == 120.0
    assert np.isnan(slow["to 0.01"])


def test_time_to_a_target_counts_what_failed_runs_cost() -> None:
    # two of three seeds reach it after 10 and 20 s, the third not within 100
    assert time_s(np.array([10.0, 20.0, 100.0]), np.array([True, True, False])) == 65.0
    assert time_s(np.array([100.0, 100.0]), np.array([False, False])) == 200.0


def test_a_speedup_is_the_ratio_of_times() -> None:
    runs = summary(rows(), JUDGE)
    found = speedup(runs, "slow", "base", 0.1)
    assert found is not None
    assert found.mean == pytest.approx(1 / 3)
    assert (found.low, found.high) == pytest.approx((1 / 3, 1 / 3))
    assert found.tasks == 2
    never = speedup(runs, "slow", "base", 0.01)
    assert never is not None
    assert never.mean == 1.0, "neither reached it"
    assert speedup(runs, "nobody", "base", 0.1) is None


def test_who_never_got_there_is_not_sooner_for_having_had_less_time() -> None:
    runs = summary(rows(), JUDGE)
    runs.loc[runs["contender"] == "slow", "until_s"] = 20.0
    never = speedup(runs, "slow", "base", 0.01)
    assert never is not None
    assert (never.mean, never.high) == (1.0, 1.0)
    # a baseline that fails in 2 × 200 s, against 50 s: eight times at least
    runs.loc[runs["contender"] == "slow", "to 0.01"] = 50.0
    sooner = speedup(runs, "slow", "base", 0.01)
    assert sooner is not None
    assert sooner.mean == pytest.approx(400.0 / 50.0)


def test_seeds_that_only_one_has_do_not_count() -> None:
    runs = summary(rows(), JUDGE)
    runs.loc[(runs["contender"] == "slow") & (runs["seed"] == 1), "to 0.1"] = 1.0
    fewer = runs[~((runs["contender"] == "base") & (runs["seed"] == 1))]
    found = speedup(fewer, "slow", "base", 0.1)
    assert found is not None
    assert found.mean == pytest.approx(1 / 3)


def test_an_interval_covers_what_tasks_differ_in() -> None:
    runs = summary(rows(), JUDGE)
    runs.loc[(runs["contender"] == "slow") & (runs["task"] == "b"), "to 0.1"] = 10.0
    found = speedup(runs, "slow", "base", 0.1)
    assert found is not None
    # 40/120 on one task, 40/10 on the other: the geometric mean is (1/3 · 4) ** ½
    assert found.mean == pytest.approx((4 / 3) ** 0.5)
    assert (found.low, found.high) == pytest.approx((1 / 3, 4.0))


def test_the_report_has_a_table_a_parquet_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(rows(), ["base", "slow"], JUDGE, tmp_path)
    shown = capsys.readouterr().out
    assert "4 workers, 2 tasks" in shown
    assert "0.33 (0.33…0.33)" in shown
    assert "not all have" not in shown
    assert len(pd.read_parquet(tmp_path / "runs-score.parquet")) == 8
    assert (tmp_path / "regret-score-4.svg").read_text().startswith("<?xml")
    report(rows().iloc[:-2], ["base", "slow"], JUDGE, None)
    assert "not all have all runs yet" in capsys.readouterr().out
    report(pd.DataFrame(), [], JUDGE, None)
    assert "no runs" in capsys.readouterr().out


@pytest.mark.skipif(
    not (ENVIRONMENTS / "synetune" / "ok").exists(), reason="python -m benchmarks.peers synetune"
)
@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "asha-promotion", "dehb"])
def test_syne_tune_is_timed_by_the_recording(task: Recording, method: str) -> None:
    rows = run(f"synetune/{method}", Contest(task, workers=2, seed=0, until_s=300.0))
    assert rows["score"].is_monotonic_decreasing
    assert rows["at_s"].is_monotonic_increasing
    # one step is one second, so two workers make at most 600 of them; news is looked for each 0.1 s
    assert 540 <= rows["steps"].iloc[0] <= 600
    fall = 0.02 * (50 - rows["step"])
    assert (rows["score"] - rows["final"]).to_numpy() == pytest.approx(fall.to_numpy(), abs=1e-6)


def test_a_recorded_list_that_is_used_up_is_used_again(task: Recording) -> None:
    assert task.pool is not None
    short = task._replace(pool=task.pool[:3])
    curves = synetune.Curves(Contest(short, workers=1, seed=0, until_s=1.0))
    asked = [task.space.sample(Stream(0, "asked", n)) for n in range(7)]
    rows = [curves.recorded(config)[ROW] for config in asked]
    assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2]
    assert [curves.recorded(config)[ROW] for config in asked] == rows


def test_a_peer_without_its_environment_says_how_to_make_it(
    task: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synetune, "ENVIRONMENTS", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"python -m benchmarks\.peers synetune"):
        run("synetune/asha", Contest(task, 1, 0, 10.0))
    with pytest.raises(ValueError, match="synetune takes no searcher 'tpe'"):
        check("synetune/tpe")
