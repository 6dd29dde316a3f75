"""W&B sweeps; the examples are those of docs.wandb.ai/models/sweeps, written down again."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist, mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.wandb_file import OWN, is_wandb, translate
from raysweep.orchestrator.wandb_parameter import QUANTILES, read_wandb
from raysweep.orchestrator.wandb_space import WandbSpace
from raysweep.orchestrator.yaml_file import parse_yaml
from raysweep.trainables.program_command import renamed
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nested
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

QUICKSTART = """
program: train.py
name: sweepdemo
project: first_sweep
method: bayes
metric: {goal: minimize, name: validation_loss}
parameters:
  learning_rate: {min: 0.0001, max: 0.1}
  batch_size: {values: [16, 32, 64]}
  epochs: {values: [5, 10, 15]}
  optimizer: {values: ["adam", "sgd"]}
run_cap: 30
"""
NESTED = """
program: sweep_nest.py
method: random
metric: {name: loss, goal: minimize}
parameters:
  optimizer:
    parameters:
      learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 0.1}
      momentum: {value: 0.9}
  fc_layer_size: {distribution: q_log_uniform_values, q: 8, min: 32, max: 256}
run_cap: 5
"""
GRID = """
program: train.py
method: grid
metric: {name: loss}
parameters:
  a: {values: [1, 2, 3]}
  b: {value: x}
"""


def spec_of(text: str, folder: Path = Path(), **changes: Any) -> SweepSpec:
    return SweepSpec.from_dict({**parse_yaml(text), **changes}, folder, "sweep.yaml")


def notes_of(spec: SweepSpec, kind: str) -> str:
    return "\n".join(note.text for note in spec.notes if note.kind == kind)


def space_of(parameter: dict[str, Any]) -> Any:
    return read_wandb(parameter)[0]


def test_the_quickstart_of_their_documentation() -> None:
    spec = spec_of(QUICKSTART)

    assert (spec.name, spec.metric, spec.mode) == ("sweepdemo", "validation_loss", "min")
    assert spec.space == {
        "learning_rate": {"uniform": [0.0001, 0.1]},
        "batch_size": {"choice": [16, 32, 64]},
        "epochs": {"choice": [5, 10, 15]},
        "optimizer": {"choice": ["adam", "sgd"]},
    }
    assert spec.searcher["name"] == "gp"
    assert spec.scheduler["name"] == "fifo"
    assert spec.budget.trials == 30
    assert spec.timeouts.stuck_s is None
    assert spec.program is not None
    assert spec.program.file == "train.py"
    assert spec.program.environment == {"WANDB_PROJECT": "first_sweep"}
    assert "bayes → searcher gp" in notes_of(spec, "mapped")
    assert "run_cap: 30" in notes_of(spec, "mapped")


def test_nested_parameters_stay_nested() -> None:
    spec = spec_of(NESTED)
    config = spec.parsed_space.sample(Stream(0, "t000000", "ask"))

    assert set(config) == {"optimizer/learning_rate", "optimizer/momentum", "fc_layer_size"}
    assert config["fc_layer_size"] % 8 == 0
    assert isinstance(config["fc_layer_size"], int)
    assert spec.program is not None
    assert spec.program.names == {}


def test_a_grid_needs_no_cap_and_the_goal_is_minimize_unless_said() -> None:
    spec = spec_of(GRID)
    assert (spec.searcher["name"], spec.mode, spec.budget.trials) == ("grid", "min", None)
    assert spec.parsed_space.size == 3


def test_a_spec_that_was_translated_is_read_again_as_it_is() -> None:
    for text in (QUICKSTART, NESTED, GRID):
        spec = spec_of(text)
        again = SweepSpec.from_dict(spec.to_dict())
        assert again == spec
        assert again.notes == ()


@pytest.mark.parametrize(
    ("written", "wandb"),
    [
        ({"method": "grid", "parameters": {}}, True),
        ({"program": "train.py", "parameters": {"a": {"value": 1}}}, True),
        ({"trainable": "a:b", "space": {}, "method": "x"}, False),
        ({"program": "train.py", "space": {}}, False),
        ({"parameters": 3}, False),
    ],
)
def test_their_files_are_known_by_their_shape(written: dict[str, Any], wandb: bool) -> None:
    assert is_wandb(written) is wandb


@pytest.mark.parametrize(
    ("parameter", "ours"),
    [
        ({"value": 3}, {"fixed": 3}),
        ({"value": [1, 2]}, {"fixed": [1, 2]}),
        ({"distribution": "constant", "value": None}, {"fixed": None}),
        ({"values": ["a", "b"]}, {"choice": ["a", "b"]}),
        ({"distribution": "categorical", "values": [1, True]}, {"choice": [1, True]}),
        ({"min": 1, "max": 9}, {"randint": [1, 9]}),
        ({"min": 1, "max": 9.0}, {"uniform": [1, 9.0]}),
        ({"distribution": "int_uniform", "min": 4, "max": 4}, {"fixed": 4}),
        ({"distribution": "uniform", "min": 0, "max": 1}, {"uniform": [0, 1]}),
        ({"distribution": "q_uniform", "min": 0.1, "max": 1.04, "q": 0.1},
         {"quniform": [0.1, 1.0, 0.1]}),
        ({"distribution": "q_uniform", "min": 3, "max": 100, "q": 8}, {"qrandint": [0, 96, 8]}),
        ({"distribution": "q_uniform", "min": 0, "max": 5}, {"quniform": [0.0, 5.0, 1.0]}),
        ({"distribution": "log_uniform", "min": 0, "max": 1}, {"loguniform": [1.0, math.e]}),
        ({"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
         {"loguniform": [1e-5, 0.1]}),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 1},
         {"loguniform": [math.exp(-1), 1.0]}),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1},
         {"loguniform": [0.01, 1]}),
        ({"distribution": "q_log_uniform", "min": math.log(8), "max": math.log(64), "q": 8},
         {"qlograndint": [8, 64, 8]}),
        ({"distribution": "q_log_uniform_values", "min": 32, "max": 256, "q": 8},
         {"qlograndint": [32, 256, 8]}),
        ({"distribution": "q_log_uniform_values", "min": 0.1, "max": 20, "q": 1},
         {"qlograndint": [1, 20, 1]}),
        ({"distribution": "q_log_uniform_values", "min": 0.5, "max": 2.0, "q": 0.25},
         {"qloguniform": [0.5, 2.0, 0.25]}),
        ({"distribution": "normal", "mu": 2, "sigma": 0}, {"fixed": 2.0}),
        ({"distribution": "q_normal", "mu": 2, "sigma": 0.01, "q": 1}, {"fixed": 2}),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, {"choice": [1, 2]}),
    ],
)  # fmt: skip
def test_every_distribution_with_a_law_of_ours(parameter: dict[str, Any], ours: Any) -> None:
    read = space_of(parameter)
    (name,) = read
    assert list(read) == list(ours)
    if isinstance(ours[name], list) and name not in ("fixed", "choice"):
        assert read[name] == pytest.approx(ours[name])
        assert [type(x) for x in read[name]] == [type(x) for x in ours[name]]
    else:
        assert read == ours
    Space.from_dict({"x": read})


def test_a_normal_becomes_its_quantiles() -> None:
    written, notes = read_wandb({"distribution": "normal", "mu": 10, "sigma": 2})
    values = written["ordinal"]
    assert len(values) == QUANTILES
    assert values == sorted(values)
    assert mean(values) == pytest.approx(10, abs=1e-3)
    assert stdev(values) == pytest.approx(2, rel=0.03)
    assert values[16] == pytest.approx(NormalDist(10, 2).inv_cdf(16.5 / 64), rel=1e-5)
    assert "64 of its quantiles" in notes[0]


def test_other_laws_become_their_quantiles() -> None:
    logs = space_of({"distribution": "log_normal", "mu": 1, "sigma": 0.5})["ordinal"]
    assert mean(map(math.log, logs)) == pytest.approx(1, abs=1e-3)
    beta = space_of({"distribution": "beta", "a": 2, "b": 6})["ordinal"]
    assert mean(beta) == pytest.approx(2 / 8, abs=1e-3)
    assert space_of({"distribution": "beta"})["ordinal"] == pytest.approx(
        [(i + 0.5) / QUANTILES for i in range(QUANTILES)], rel=1e-5
    )
    whole = space_of({"distribution": "q_normal", "mu": 0, "sigma": 3, "q": 2})["ordinal"]
    assert whole == sorted({*whole})
    assert all(isinstance(value, int) and value % 2 == 0 for value in whole)
    tenths = space_of({"distribution": "q_beta", "a": 2, "b": 2, "q": 0.1})["ordinal"]
    assert tenths == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    steps = space_of({"distribution": "q_log_normal", "mu": 2, "sigma": 0.5, "q": 1})["ordinal"]
    assert steps[0] >= 1
    assert all(isinstance(value, int) for value in steps)


def test_what_differs_is_said() -> None:
    def notes(parameter: dict[str, Any]) -> str:
        return " ".join(read_wandb(parameter)[1])

    assert "probabilities are not taken, but what has 0 is left out" in notes(
        {"values": [1, 2, 3], "probabilities": [0.7, 0.3, 0]}
    )
    assert "counts once" in notes({"values": [1, 1, 2]})
    assert "yes is text here" in notes({"values": ["yes", "no"]})
    assert "half as likely" in notes({"distribution": "q_uniform", "min": 0, "max": 10, "q": 2})
    assert "0, to which W&B may round" in notes(
        {"distribution": "q_log_uniform_values", "min": 0.1, "max": 20, "q": 1}
    )
    assert notes({"min": 1, "max": 9}) == ""


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (3, r"parameters.x: got 3; write \{value: 3\}"),
        ({"min": 3}, "min: ..., max: ..."),
        ({"min": "1e-3", "max": 2.0}, "min is '1e-3'; it must be a number"),
        ({"distribution": "loguniform", "min": 1, "max": 2}, "unknown; did you mean 'log_uniform'"),
        ({"distribution": "uniform", "min": 1, "max": 2, "q": 1}, "uniform takes no 'q'"),
        ({"values": []}, "list at least one"),
        ({"values": [1, 2], "probabilities": [1]}, "a number for each of values"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "log_uniform_values"),
        ({"distribution": "q_uniform", "min": 0, "max": 9, "q": 0}, "must be above 0"),
        ({"distribution": "beta", "a": 0}, "above 0"),
        ({"min": 9, "max": 1}, "inverted"),
    ],
)
def test_what_w_and_b_would_refuse_is_refused_with_the_name(parameter: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        spec_of(QUICKSTART, parameters={"x": parameter})
    assert "x: " in str(caught.value)


def test_names_that_we_cannot_have_reach_the_program_as_they_are() -> None:
    read = WandbSpace(
        {
            "model.lr": {"value": 1},
            "model": {"parameters": {"width": {"value": 2}, "min": {"value": 3}}},
            "a b": {"value": 4},
            "when": {"value": 5},
            "uniform": {"value": 6},
            "plain": {"value": 7},
        }
    )
    config = Space.from_dict(read.space).sample(Stream(0, "x"))

    assert read.names["model/lr"] == ("model.lr",)
    assert renamed(nested(config), read.names) == {
        "model.lr": 1, "model": {"width": 2, "min": 3}, "a b": 4, "when": 5, "uniform": 6, "plain": 7,
    }  # fmt: skip


_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
"""`propertyNames` of W&B's schema."""


def test_a_parameter_is_not_also_the_beginning_of_another() -> None:
    with pytest.raises(SpecError, match="'a' is a parameter and the beginning of another"):
        WandbSpace({"a": {"value": 1}, "a.b": {"value": 2}})
    assert WandbSpace({"a.b": {"value": 2}, "a": {"value": 1}}).names["a_"] == ("a",)


@given(st.lists(_NAMES, min_size=1, max_size=6, unique=True))
def test_any_names_that_w_and_b_allows_come_back_to_the_program(names: list[str]) -> None:
    try:
        read = WandbSpace({name: {"value": i} for i, name in enumerate(names)})
    except SpecError:  # "a.b" beside "a.b.c" cannot both be had; the case below asks for the words
        assert any(other.startswith(f"{name}.") for name in names for other in names)
        return
    config = Space.from_dict(read.space).sample(Stream(0, "x"))
    assert renamed(nested(config), read.names) == {name: i for i, name in enumerate(names)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_cap": None}, "run_cap: missing, and nothing else ends a sweep by bayes"),
        ({"run_cap": 0}, "run_cap: got 0"),
        ({"metric": None}, "--set metric.name=val_loss"),
        ({"metric": {"name": "a", "goal": "min"}}, "it may be minimize or maximize"),
        ({"metric": {"name": "a", "gaol": "minimize"}}, "did you mean 'goal'"),
        ({"method": "custom"}, "runs in W&B's own scheduler"),
        ({"method": "bayesian"}, "method: got 'bayesian'; did you mean 'bayes'"),
        ({"parameters": {}}, "parameters: got {}"),
        ({"program": None}, "program: missing, and nothing says what to run"),
        ({"program": None, "job": "a/b/c:latest"}, "job is run by W&B Launch"),
        ({"runcap": 3}, "runcap: no key of a W&B sweep.*did you mean 'run_cap'"),
        ({"command": ["${env}", "${arg}"]}, r"program: command has \$\{arg\}, which is no macro"),
        ({"command": "python train.py"}, "write a list of words"),
    ],
)
def test_what_cannot_be_run_says_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        spec_of(QUICKSTART, **changes)
    assert str(caught.value).startswith("sweep.yaml: ")


def test_keys_of_raysweep_may_stand_beside_theirs() -> None:
    spec = spec_of(
        QUICKSTART,
        run_cap=None,
        budget={"wall_time": "1h"},
        resources={"gpu": 0.25},
        searcher="random",
        scheduler={"name": "median"},
        early_terminate={"type": "hyperband", "min_iter": 3},
        seed=5,
        timeouts={"stuck": "1h"},
    )
    assert (spec.budget.wall_time_s, spec.budget.trials, spec.resources.gpu) == (3600, None, 0.25)
    assert (spec.searcher["name"], spec.scheduler["name"], spec.seed) == ("random", "median", 5)
    assert spec.timeouts.stuck_s == 3600
    assert "early_terminate, as the file names a scheduler" in notes_of(spec, "not taken")
    assert {*OWN} <= {*SweepSpec.model_fields}


def test_what_is_not_taken_is_said() -> None:
    spec = spec_of(
        QUICKSTART,
        name="My Sweep, the first!",
        description="a text",
        controller={"type": "local"},
        entity="team",
        metric={"name": "acc", "goal": "maximize", "target": 0.99, "impute": "worst"},
        scheduler={"engine": "wandb"},
    )
    assert (spec.name, spec.mode) == ("my-sweep-the-first", "max")
    left = notes_of(spec, "not taken")
    for key in ("description", "controller", "metric.target", "metric.impute", "scheduler"):
        assert f"{key}: " in left
    assert "WANDB_PROJECT and WANDB_ENTITY set" in notes_of(spec, "approximated")


def test_the_program_is_looked_for_where_the_agent_would(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    configs.mkdir()
    (tmp_path / "train.py").touch()
    found = translate(parse_yaml(QUICKSTART), configs, tmp_path).spec["program"]
    assert found["folder"] == ".."
    (configs / "train.py").touch()
    assert "folder" not in translate(parse_yaml(QUICKSTART), configs, tmp_path).spec["program"]


def test_a_spec_of_ours_may_name_a_program() -> None:
    written = {
        "program": "train.py", "space": {"lr": {"uniform": [0, 1]}}, "metric": "loss",
        "mode": "min", "budget": {"trials": 1},
    }  # fmt: skip
    spec = SweepSpec.from_dict(written)
    assert spec.trainable == "<program:train.py>"
    assert SweepSpec.from_dict(spec.to_dict()) == spec
    given = {"command": ["bash", "run.sh", "${args}"]}
    assert SweepSpec.from_dict({**written, "program": given}).trainable.startswith("<program:bash")
    with pytest.raises(SpecError, match=r"trainable is train:train already.*leave one out"):
        SweepSpec.from_dict({**written, "trainable": "train:train"})
    with pytest.raises(SpecError, match="program: names neither file nor command"):
        SweepSpec.from_dict({**written, "program": {}})
    with pytest.raises(SpecError, match="'fil' is no key of it; did you mean 'file'"):
        SweepSpec.from_dict({**written, "program": {"file": "a.py", "fil": "a"}})
