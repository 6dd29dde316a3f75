from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysweep
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.spec_parts import seconds
from raysweep.orchestrator.yaml_file import parse_yaml
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.parameters import choice, lograndint, loguniform, uniform
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

YAML = """
name: digits
trainable: train:train            # def train(config): ... yield {"loss": ...}   or a Trainable class
space:
  lr: {loguniform: [1e-4, 1e-1]}
  optimizer: {choice: [sgd, adam]}
  momentum: {uniform: [0.0, 0.99], when: {optimizer: sgd}}
  width: {lograndint: [16, 256]}
constraints: ["lr * width <= 8"]
metric: val_accuracy              # or metrics: {val_accuracy: max, latency_ms: min}
mode: max
searcher: random                  # or {name: tpe, ...}
scheduler: {name: asha, max_t: 27, grace_period: 1, reduction_factor: 3, form: promotion}
resources: {cpu: 1, gpu: 0.25}
budget: {trials: 64, wall_time: 10m, gpu_hours: 2}
retries: {infra: 5, error: 0}
seed: 0
storage: ./sweeps
"""
GOOD: dict[str, Any] = parse_yaml(YAML)
SMALL: dict[str, Any] = {
    "trainable": "train:train",
    "space": {"x": {"uniform": [0, 1]}},
    "metric": "loss",
    "mode": "min",
    "budget": {"trials": 4},
}


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.from_dict(SMALL | changes)


def test_the_documented_shape_is_read(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(YAML)
    read = SweepSpec.from_yaml(tmp_path / "digits.yaml")
    assert (read.name, read.trainable, read.seed) == ("digits", "train:train", 0)
    assert read.goal == Goal((("val_accuracy", "max"),))
    assert read.parsed_space.columns() == {
        "lr": "float64", "optimizer": "string", "momentum": "float64", "width": "int64"
    }  # fmt: skip
    config = read.parsed_space.sample(Stream(0))
    assert config["lr"] * config["width"] <= 8
    assert read.searcher == {"name": "random"}
    assert read.scheduler == {
        "name": "asha", "max_t": 27, "grace_period": 1, "reduction_factor": 3, "form": "promotion",
        "brackets": 1,
    }  # fmt: skip
    assert read.resources.gpu == 0.25
    assert read.budget.wall_time_s == 600.0
    assert read.budget.steps is None
    assert read.retries.model_dump() == {"infra": 5, "error": 0, "crash": 1, "oom": 1, "stuck": 0, "checkpoint": 1}  # fmt: skip
    assert read.folder == tmp_path
    assert read.storage_path == tmp_path / "sweeps"


def test_yaml_and_python_give_the_same_object(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(YAML)
    python = SweepSpec.from_dict(
        {
            "name": "digits",
            "trainable": "train:train",
            "space": {
                "width": lograndint(16, 256),
                "lr": loguniform(1e-4, 1e-1),
                "optimizer": choice(["sgd", "adam"]),
                "momentum": uniform(0, 0.99, when={"optimizer": "sgd"}),
            },
            "constraints": ("lr * width <= 8",),
            "metrics": {"val_accuracy": "maximize"},
            "searcher": "random",
            "scheduler": {"name": "asha", "max_t": 27},
            "resources": {"gpu": 0.25},
            "budget": {"trials": 64, "wall_time": 600, "gpu_hours": 2.0},
        }
    )
    yaml = SweepSpec.from_yaml(str(tmp_path / "digits.yaml"))
    assert python == yaml
    assert hash(python) == hash(yaml)
    assert python.hash() == yaml.hash()
    assert python != spec()


def test_a_space_object_brings_its_constraints() -> None:
    space = Space.from_dict({"a": uniform(0, 1), "b": uniform(0, 1)}, ["a < b"])
    read = spec(space=space)
    assert read.constraints == ("a < b",)
    assert read == spec(space=space.to_dict(), constraints=["a < b"])


def test_a_spec_survives_json_and_a_writer_that_sorts_keys() -> None:
    before = SweepSpec.from_dict(GOOD)
    text = json.dumps(before.to_dict(), sort_keys=True, allow_nan=False)
    after = SweepSpec.from_dict(json.loads(text))
    assert after == before
    assert after.hash() == before.hash()
    draws = [[s.parsed_space.sample(Stream(0, n)) for n in range(5)] for s in (before, after)]
    assert draws[0] == draws[1]


def test_the_ranking_metric_survives_a_writer_that_sorts_keys() -> None:
    before = spec(metric=None, mode=None, metrics={"z": "min", "a": "max"})
    after = SweepSpec.from_dict(json.loads(json.dumps(before.to_dict(), sort_keys=True)))
    assert after.goal == before.goal == Goal((("z", "min"), ("a", "max")))


def test_the_hash_is_of_the_content() -> None:
    assert spec().hash() == spec(seed=0, name="sweep").hash()
    assert spec().hash() != spec(seed=1).hash()
    assert len(spec().hash()) == 64


def test_defaults() -> None:
    read = spec()
    assert read.name == "sweep"
    assert (read.searcher, read.scheduler) == (
        {"name": "auto", "prior": None}, {"name": "fifo", "max_t": None},
    )  # fmt: skip
    assert (read.resources.cpu, read.resources.gpu) == (1.0, 0.0)
    assert (read.checkpoint.every_s, read.checkpoint.every_steps, read.checkpoint.keep) == (60, None, 1)  # fmt: skip
    assert (read.timeouts.stuck_s, read.timeouts.stalled_s, read.timeouts.drain_s) == (
        None,
        600,
        15,
    )
    assert read.timeouts.cleanup_s == 45
    assert read.cluster.model_dump() == {"address": None, "num_cpus": None, "num_gpus": None, "max_slots": None, "fresh_process": False, "speeds": {}, "prices": {}}  # fmt: skip
    assert (read.max_failed_share, read.storage_path) == (0.5, Path("sweeps"))


@pytest.mark.parametrize(
    ("changes", "goal"),
    [
        ({"mode": "maximize"}, (("loss", "max"),)),
        ({"mode": None, "goal": "minimize"}, (("loss", "min"),)),
        ({"mode": "min", "goal": "minimize"}, (("loss", "min"),)),
        ({"metric": None, "mode": None, "metrics": {"a": "max", "b": "minimize"}}, (("a", "max"), ("b", "min"))),
        ({"metric": "b", "mode": None, "metrics": {"a": "max", "b": "min"}}, (("b", "min"), ("a", "max"))),
        ({"metric": "b", "mode": "min", "metrics": {"a": "max", "b": "min"}}, (("b", "min"), ("a", "max"))),
    ],
)  # fmt: skip
def test_the_ways_to_write_a_goal(changes: dict[str, Any], goal: Any) -> None:
    assert spec(**changes).goal == Goal(goal)


def objective(config: dict[str, Any]) -> None:
    """A training function."""


class Study:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("trainable", "text"),
    [
        ("raysweep.trainables.studies:branin", "raysweep.trainables.studies:branin"),
        (objective, "<python:objective>"),
        (Study, "<python:Study>"),
        (Study(), "<python:Study>"),
        (lambda config: None, "<python:<lambda>>"),
    ],
)
def test_what_to_train(trainable: Any, text: str) -> None:
    read = spec(trainable=trainable)
    assert read.trainable == text
    assert SweepSpec.from_dict(read.to_dict()) == read


@pytest.mark.parametrize(
    ("written", "expected"),
    [(90, 90), (1.5, 1.5), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400),
     ("0.5 h", 1800), (" 1h 30m ", 5400)],
)  # fmt: skip
def test_durations(written: Any, expected: float) -> None:
    assert seconds(written) == expected
    assert spec(budget={"wall_time": written}).budget.wall_time_s == expected


def test_stuck_may_be_set_and_whole_floats_are_counts() -> None:
    read = spec(timeouts={"stuck": "10m"}, budget={"trials": 1e3}, checkpoint={"every": "2m"})
    assert read.timeouts.stuck_s == 600
    assert read.budget.trials == 1000
    assert read.checkpoint.every_s == 120


def test_a_grid_ends_by_itself() -> None:
    assert spec(budget={}, searcher={"name": "grid", "points": 3}).searcher == {
        "name": "grid", "points": 3, "shuffle": False
    }  # fmt: skip


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec().seed = 3  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValueError, match="frozen"):
        spec().budget.trials = 3  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrc": "x"}, r"^spec: metrc: unknown key; did you mean 'metric'\? allowed: name, trainable"),
        ({"folder": "/"}, "folder: unknown key"),
        ({"budget": {"trails": 3}}, r"budget\.trails: unknown key; did you mean 'trials'\? allowed: trials, steps, wall_time, gpu_hours$"),
        ({"timeouts": {"stuk": 3}}, "did you mean 'stuck'"),
        ({"retries": {"infra": -1}}, r"retries\.infra: got -1; it should be greater than or equal to 0"),
        ({"budget": 3}, r"budget: got 3; it should map trials, steps"),
        ({"budget": {"trials": "64"}}, r"budget\.trials: got '64'; it should be a valid integer"),
        ({"budget": {"trials": 0}}, r"budget\.trials: got 0"),
        ({"budget": {"trials": True}}, r"budget\.trials: got True"),
        ({"budget": {"wall_time": "10 minutes"}}, r"budget\.wall_time: got '10 minutes'; write seconds, or a duration such as 90s, 10m"),
        ({"budget": {"wall_time": -1}}, r"budget\.wall_time: got -1; it should be greater than 0"),
        ({"budget": {"gpu_hours": float("inf")}}, r"budget\.gpu_hours: got inf"),
        ({"budget": {"wall_time": 3, "wall_time_s": 4}}, r"budget\.wall_time_s: unknown key"),
        ({"budget": {}}, "budget: nothing ends this sweep; give one of trials, steps"),
        ({"budget": {"gpu_hours": 1}}, "gpu_hours limits nothing, as resources.gpu is 0"),
        ({"name": "../x"}, r"name: got '\.\./x'; use 1 to 64 lower-case letters"),
        ({"name": "a" * 65}, "name: got"),
        ({"name": "x\n"}, "name: got"),
        ({"trainable": "train.py"}, r"""trainable: got 'train\.py'; write "module:name", where module\.py"""),
        ({"trainable": "../train:train"}, "trainable: got"),
        ({"trainable": 3}, "trainable: got 3"),
        ({"space": None}, "space: a space maps parameters to distributions, got None"),
        ({"space": {"x": {"unifrom": [0, 1]}}}, r"space: x: 'unifrom' is no distribution .*did you mean 'uniform'"),
        ({"space": {"x": {"uniform": [1, 0]}}}, "space: x: the range .* is inverted"),
        ({"constraints": ["y < 1"]}, "constraint 'y < 1' names 'y', which is no parameter; .*allowed: x"),
        ({"constraints": ["x > 1"]}, "no config satisfies the constraints"),
        ({"constraints": "x > 1"}, "constraints: got 'x > 1'; write a list of expressions"),
        ({"constraints": [1]}, r"constraints: got \[1\]"),
        ({"metric": None}, "metric: missing; say what the training code reports"),
        ({"mode": None}, "mode: missing; say which way loss is better: min or max"),
        ({"mode": "lower"}, "mode: got 'lower'; allowed are min and max"),
        ({"goal": "maximize"}, "mode: it says otherwise than goal"),
        ({"metric": 3}, "metric: got 3; name one metric"),
        ({"metrics": []}, r"metrics: got \[\]; write"),
        ({"metrics": {"loss": "down"}}, r"metrics\.loss: got 'down'"),
        ({"scheduler": "mo_asha"}, "scheduler mo_asha: it needs 2 metrics or more, and loss is all"),
        ({"metrics": {"a": "min"}}, "metric: got 'loss'; it must be one of metrics: a"),
        ({"metrics": {"loss": "max"}}, "mode: got min, but metrics says loss: max; leave one out"),
        ({"searcher": "rando"}, r"searcher: 'rando' is not one; did you mean 'random'\?"),
        ({"searcher": {"name": "grid", "point": 3}}, r"searcher grid: 'point' is no option of it; did you mean 'points'\?"),
        ({"searcher": {"name": "random", "n": 3}}, "searcher random: 'n' is no option of it; allowed: points_to_evaluate"),
        ({"searcher": {"name": "grid", "points": 0}}, "searcher grid: points is 0; it may be a whole number from 1"),
        ({"searcher": {"name": "grid"}}, r"searcher: x: .*is continuous and has no finite grid.*points: 5"),
        ({"searcher": {"name": "grid", "points": {"y": 2}}}, "points names 'y', which is no parameter"),
        ({"searcher": 3}, r"searcher: got 3; write a name, or \{name: \.\.\."),
        ({"scheduler": "ahsa"}, r"scheduler: 'ahsa' is not one; did you mean 'asha'\?"),
        ({"scheduler": {"name": "hyperband"}}, "scheduler hyperband: max_t is missing"),
        ({"scheduler": {"max_t": 3}}, "scheduler: got .*; write a name"),
        ({"resources": {"gpu": 1.5}}, r"resources: gpu is 1\.5; allowed are 0, a fraction from 0\.0001 to 1, and whole"),
        ({"resources": {"gpu": 0.00001}}, "gpu is 1e-05"),
        ({"resources": {"gpu": -1}}, r"resources\.gpu: got -1"),
        ({"resources": {"cpu": 0}}, "resources: a trial asks for nothing"),
        ({"resources": {"custom": {"GPU": 1}}}, "custom names 'GPU'; write it as `gpu`"),
        ({"cluster": {"address": "auto", "num_gpus": 2}}, "cluster: num_cpus and num_gpus describe a local Ray"),
        ({"cluster": {"fresh_process": "no"}}, r"cluster\.fresh_process: got 'no'; it should be a valid boolean"),
        ({"cluster": {"speeds": {"T4": 0}}}, r"cluster\.speeds\.T4: got 0; it should be greater than 0"),
        ({"cluster": {"prices": {"T4": "1"}}}, r"cluster\.prices\.T4: got '1'; it should be a valid number"),
        ({"scheduler": {"name": "asha", "unit": "dollars"}}, r"scheduler asha: unit is dollars, and nothing has a price; give cluster\.prices"),
        ({"scheduler": {"name": "asha", "unit": "loss"}}, "unit is 'loss', which is optimised; name a metric that counts up"),
        ({"max_failed_share": 2}, "max_failed_share: got 2"),
        ({"seed": True}, "seed: got True"),
        ({"seed": -1}, "seed: got -1"),
        ({"storage": "s3://bucket/x"}, "storage: got 's3://bucket/x'; give a folder"),
        ({"storage": " "}, "storage: got ' '"),
    ],
)  # fmt: skip
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**changes)


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: Bad\nspace: {x: {uniform: [1, 0]}}\nmetric: loss\nbudget: {trails: 3}\n")
    with pytest.raises(SpecError) as raised:
        SweepSpec.from_yaml(path)
    head, *problems = str(raised.value).splitlines()
    assert head == "bad.yaml: 5 problems"
    assert [line.split(":")[0].strip(" -") for line in problems] == [
        "mode", "name", "trainable", "space", "budget.trails"
    ]  # fmt: skip


@pytest.mark.parametrize("written", [None, 3, [], "x", {1: 2}])
def test_what_is_no_mapping_is_refused(written: Any) -> None:
    with pytest.raises(SpecError, match="spec: a spec maps names to values"):
        SweepSpec.from_dict(written)


# in pieces, so that no scanner takes the test for a leak
SECRETS = ["AKIA" + "ABCDEFGH12345678", "gh" + "p_" + "a1B2" * 9, "-----" + "BEGIN RSA PRIVATE KEY-----"]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("place", "path"),
    [
        (lambda s: {"name": s}, "name"),
        (lambda s: {"space": {"key": {"choice": ["a", f"x {s} y"]}}}, r"space\.key\.choice\[1\]"),
        (lambda s: {"cluster": {s: 1}}, r"cluster \(a key\)"),
        (lambda s: {"token": s}, "token"),
    ],
)
def test_what_looks_like_a_secret_is_refused_and_not_repeated(
    secret: str, place: Any, path: str
) -> None:
    with pytest.raises(SpecError, match=f"{path}: holds what looks like a secret") as raised:
        spec(**place(secret))
    assert secret not in str(raised.value)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["10m", "min", "grid", "asha", "x < 1", 10**400]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "points", "x", "gpu", "trials", "stuck"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*SweepSpec.model_fields, "goal", "x"]), JUNK, max_size=4))
def test_arbitrary_values_raise_nothing_but_spec_errors(changes: dict[str, Any]) -> None:
    with contextlib.suppress(SpecError):
        read = spec(**changes)
        assert SweepSpec.from_dict(json.loads(json.dumps(read.to_dict(), allow_nan=False))) == read


def test_reading_a_spec_loads_neither_ray_nor_torch_nor_pandas_nor_scipy() -> None:
    code = (
        "import json, sys; from raysweep.orchestrator.spec import SweepSpec;"
        "SweepSpec.from_dict(json.loads(sys.argv[1]));"
        "print([m for m in ('ray', 'torch', 'pandas', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(SMALL | {"searcher": "sobol"})],
        cwd=Path(raysweep.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
