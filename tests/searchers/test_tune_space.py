from __future__ import annotations

import math
from collections.abc import Callable
from pprint import pformat
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ray import tune
from ray.tune.search.variant_generator import _flatten_resolved_vars, generate_variants

from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.domains import Fixed
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream


class Wide:
    """An object without `==`, as users' configs hold them."""

    def __init__(self, width: int) -> None:
        self.width = width


def relu(x: float) -> float:
    return max(0.0, x)


def drawn(param_space: dict[str, Any], seed: int = 0) -> list[tuple[dict[Any, Any], Any]]:
    """What Tune's own sampler makes: (the varying parameters, the whole config)."""
    variants = generate_variants({"config": param_space}, random_state=seed)
    return [(_flatten_resolved_vars(resolved), spec["config"]) for resolved, spec in variants]


def described(param_space: dict[str, Any]) -> dict[str, str]:
    parameters = TuneSpace(param_space).space.parameters
    return {name: parameter.domain.describe() for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    ("domain", "ours"),
    [
        (tune.uniform(0, 1), "numbers from 0.0 to 1.0"),
        (tune.loguniform(1e-4, 1), "numbers from 0.0001 to 1.0 (log)"),
        (tune.quniform(0.2, 1.0, 0.2), "numbers from 0.2 to 1.0 in steps of 0.2"),
        (tune.qloguniform(0.1, 10, 0.1), "numbers from 0.1 to 10.0 in steps of 0.1 (log)"),
        (tune.randint(0, 10), "integers from 0 to 9"),
        (tune.lograndint(1, 100), "integers from 1 to 99 (log)"),
        (tune.qrandint(3, 17, 4), "integers from 4 to 16 in steps of 4"),
        (tune.qrandint(1, 10, 1), "integers from 1 to 9"),
        (tune.qlograndint(8, 64, 8), "integers from 8 to 64 in steps of 8 (log)"),
        (tune.choice(["a", "b"]), "one of 'a', 'b'"),
        (tune.grid_search([1, 2]), "one of 1, 2"),
        (tune.randint(3, 4), "always 3"),
        (tune.uniform(2, 2), "always 2.0"),
        (tune.randn(0, 1), "any value of type float64"),
        (tune.qrandn(0, 1, 0.5), "any value of type float64"),
        (tune.randint(0, 1 << 60), "any value of type int64"),
        (tune.sample_from(lambda config: 1), "any plain value"),
        (7, "always 7"),
    ],
)
def test_every_distribution_becomes_ours_with_tunes_values(domain: Any, ours: str) -> None:
    assert described({"x": domain}) == {"x": ours}


def test_what_only_tune_can_draw_and_what_is_a_grid_is_said() -> None:
    space = TuneSpace(
        {
            "a": tune.randn(0, 1),
            "net": {"g": tune.grid_search([1, 2])},
            "f": tune.sample_from(lambda: 1),
        }
    )
    assert space.only_drawn_by_tune == ("a", "f")
    assert space.grid == ("net/g",)
    with pytest.raises(SpaceError, match="no law"):
        space.space.sample(Stream(0))


def test_objects_duplicates_and_nan_stand_behind_labels_that_no_process_changes() -> None:
    wide = Wide(3)
    space = TuneSpace(
        {
            "act": tune.choice([relu, math.tanh, None]),
            "net": tune.choice([wide, Wide(4)]),
            "seed": tune.choice([1, 1, float("nan")]),
        }
    )
    options = {
        name: p.domain.options  # type: ignore[attr-defined]  # they are all choices
        for name, p in space.space.parameters.items()
    }
    assert options == {
        "act": ("relu", "tanh", "None"),
        "net": ("Wide", "Wide#2"),
        "seed": ("1", "1#2", "nan"),
    }
    config = space.flat({"act": math.tanh, "net": wide, "seed": float("nan")})
    assert config == {"act": "tanh", "net": "Wide", "seed": "nan"}
    user = space.nested(config)
    assert user["act"] is math.tanh
    assert (type(user["net"]), user["net"].width) == (Wide, 3)
    assert math.isnan(user["seed"])


def test_a_copied_object_is_recognised_by_its_content() -> None:
    space = TuneSpace({"net": tune.choice([Wide(3), Wide(4)])})
    assert space.flat({"net": Wide(4)}) == {"net": "Wide#2"}
    with pytest.raises(SpaceError, match=r"net: got .*allowed is one of 'Wide', 'Wide#2'"):
        space.flat({"net": Wide(5)})


def test_tuples_come_back_as_tuples() -> None:
    space = TuneSpace({"layers": tune.choice([(64, 64), (128,)]), "pair": (1, tune.uniform(0, 1))})
    config = space.flat({"layers": (128,), "pair": (1, 0.5)})
    assert config["layers"] == [128]
    assert space.nested(config) == {"layers": (128,), "pair": (1, 0.5)}


def test_keys_that_are_no_names_are_renamed_and_mapped_back() -> None:
    param_space = {
        4: tune.uniform(0, 1),
        "_4": tune.uniform(0, 1),
        "k y": tune.uniform(0, 1),
        "k.y": tune.uniform(0, 1),
        "net": {"choice": tune.uniform(0, 1), "a/b": tune.uniform(0, 1)},
    }
    space = TuneSpace(param_space)  # type: ignore[arg-type]  # Tune takes keys of any kind
    assert sorted(space.space.parameters) == [
        "_4",
        "_4_2",
        "k_y",
        "k_y_2",
        "net/a_b",
        "net/choice_",
    ]
    user = {4: 0.1, "_4": 0.2, "k y": 0.3, "k.y": 0.4, "net": {"choice": 0.5, "a/b": 0.6}}
    assert space.nested(space.flat(user)) == user  # type: ignore[arg-type]
    assert Space.from_dict(space.space.to_dict()).parameters.keys() == space.space.parameters.keys()


def test_constants_are_shown_if_small_and_handed_out_as_they_are() -> None:
    big = {str(n): n for n in range(100)}
    param_space = {
        "lr": tune.uniform(0, 1),
        "epochs": 3,
        "data": {"name": "mnist", "fn": relu},
        "big": big,
        "text": "x" * 5000,
        "arr": np.zeros(2),
    }
    space = TuneSpace(param_space)
    shown = {n for n, p in space.space.parameters.items() if isinstance(p.domain, Fixed)}
    assert shown == {"epochs", "data/name"}
    user = space.nested(space.flat({"lr": 0.5}))
    assert user["data"] == {"name": "mnist", "fn": relu}
    assert user["big"] == big
    user["arr"][0] = 1.0
    assert space.nested(space.flat({"lr": 0.5}))["arr"][0] == 0.0
    assert space.varying(space.flat({"lr": 0.5})) == {"lr": 0.5}


def test_a_space_of_constants_or_of_nothing_has_a_parameter_nonetheless() -> None:
    for param_space in ({}, {"fn": relu}):
        space = TuneSpace(param_space)
        config = space.space.sample(Stream(0))
        assert space.nested(config) == param_space


def test_a_choice_between_spaces_is_conditional() -> None:
    space = TuneSpace(
        {"opt": tune.choice([{"name": "sgd", "momentum": tune.uniform(0, 1)}, {"name": "adam"}])}
    )
    assert space.flat({"opt": {"name": "sgd", "momentum": 0.5}}) == {
        "opt": "{'name': 'sgd', 'momentum': '...'}",
        "opt_0/momentum": 0.5,
        "opt_0/name": "sgd",
    }
    assert space.flat({"opt": {"name": "adam"}}) == {"opt": "{'name': 'adam'}"}
    for n in range(20):
        config = space.space.sample(Stream(0, n))
        assert space.flat(space.nested(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "lr: it is missing; allowed is numbers from 0.0 to 1.0"),
        ({"lr": 2.0, "net": {"w": 1}}, "lr: got 2.0; allowed is numbers"),
        ({"lr": "a", "net": {"w": 1}}, "lr: got 'a'; allowed is numbers"),
        ({"lr": 0.5, "net": {"w": 1.5}}, "net/w: got 1.5; allowed is integers"),
        ({"lr": 0.5, "net": 3}, "net: got 3; give a mapping"),
        ({"lr": 0.5, "net": {"w": 1, "q": 2}}, "net/q: no such parameter; allowed: w"),
        ({"lr": 0.5, "net": {"w": 1}, "Lr": 1}, "Lr: no such parameter; did you mean 'lr'"),
        ({"lr": 0.5, "net": {"w": 1}, "epochs": 4}, "epochs: got 4, but param_space fixes it to 3"),
    ],
)
def test_a_wrong_config_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    space = TuneSpace({"lr": tune.uniform(0, 1), "net": {"w": tune.randint(0, 3)}, "epochs": 3})
    with pytest.raises(SpaceError, match=f"^{message}"):
        space.flat(values)


@pytest.mark.parametrize(
    ("param_space", "message"),
    [
        ({"net": {"x": tune.uniform(1, 0)}}, "net/x: no value lies in the range from 1.0 to 0.0"),
        ({"x": tune.choice([])}, "x: a choice has no options"),
        ({"x": tune.randint(5, 5)}, "x: no value lies in the range from 5 to 4"),
        ({"x": tune.grid_search(3)}, "x: 'int' object is not iterable"),
        (3, "param_space must map names"),
    ],
)
def test_a_wrong_space_is_refused_by_name(param_space: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=f"^{message}"):
        TuneSpace(param_space)


def test_what_is_missing_is_drawn_from_a_stream() -> None:
    space = TuneSpace({"lr": tune.uniform(0, 1), "net": {"w": tune.randint(0, 3)}})
    config = space.flat({"net": {"w": 2}}, Stream(0, "t"))
    space.space.check(config)
    assert config["net/w"] == 2
    assert config == space.flat({"net": {"w": 2}}, Stream(0, "t"))


def test_an_open_space_takes_whatever_a_searcher_comes_up_with() -> None:
    space = TuneSpace.open(
        {"x": tune.uniform(0, 1), "q": tune.qloguniform(1, 9, 1), "net": {"act": "relu"}, "n": 3}
    )
    user = {
        "x": 2.0,
        "q": 2.3,
        "net": {"act": "gelu", "depth": 2},
        "own": (1, np.float64(2)),
        "n": 3,
    }
    config = space.flat(user)
    space.space.check(config)
    assert (config["x"], config["q"], config["net/act"]) == (1.0, 2.0, "relu")
    assert space.nested(config) == user
    assert space.varying(config) == {name: user[name] for name in ("x", "q", "net", "own")}


def test_an_open_space_needs_no_param_space() -> None:
    space = TuneSpace.open()
    config = space.flat({"a": 1, "b": {"c": relu}})
    assert config == {"config": {"a": 1, "b": {"c": {"$object": f"{__name__}:relu"}}}}
    assert space.nested(config) == {"a": 1, "b": {"c": relu}}


def test_it_travels_by_cloudpickle() -> None:
    space = TuneSpace(
        {"f": tune.sample_from(lambda _: 1), "g": tune.choice([lambda: 1, lambda: 2])}
    )
    config = {"f": 1, "g": "<lambda>#2"}
    assert cloudpickle.loads(cloudpickle.dumps(space)).nested(config)["g"]() == 2


# --- properties -------------------------------------------------------------------------------

_ints = st.integers(1, 50)
_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-5, 5),
    st.text(max_size=3),
    st.sampled_from([relu, math.tanh, Wide]),
    st.tuples(st.integers(0, 3), st.text(max_size=2)),
)


def _ranges(make: Callable[..., Any], low: Any, more: Any) -> st.SearchStrategy[Any]:
    return st.builds(lambda a, b: make(a, a + b), low, more)


def _stepped(make: Callable[..., Any], whole: bool) -> st.SearchStrategy[Any]:
    q = _ints if whole else st.sampled_from([0.05, 0.1, 0.25, 1.0, 3.0])
    return st.builds(lambda a, n, q: make(a * q, (a + n) * q, q), _ints, _ints, q)


_domains = st.one_of(
    _ranges(tune.uniform, st.floats(-9, 9), st.floats(0.01, 9)),
    _ranges(tune.loguniform, st.floats(1e-5, 9), st.floats(0.01, 9)),
    _ranges(tune.randint, st.integers(-9, 9), _ints),
    _ranges(tune.lograndint, _ints, _ints),
    _stepped(tune.quniform, False),
    _stepped(tune.qloguniform, False),
    _stepped(tune.qrandint, True),
    _stepped(tune.qlograndint, True),
    st.builds(lambda a, b, q: tune.qrandint(a, a + 2 * q + b, q), st.integers(0, 9), _ints, _ints),
    st.lists(_values, min_size=1, max_size=4).map(tune.choice),
    st.lists(_values, min_size=1, max_size=3).map(tune.grid_search),
    st.builds(tune.randn, st.floats(-1, 1), st.floats(0.1, 2)),
    _values.map(lambda value: tune.sample_from(lambda _: value)),
)
_keys = st.one_of(st.text("ab/ .-é", min_size=1, max_size=3), st.integers(0, 3))


def _groups(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.dictionaries(_keys, inner, max_size=3),
        st.lists(inner, max_size=2),
        st.tuples(inner, inner),
        st.lists(
            st.dictionaries(st.sampled_from("ab"), inner, min_size=1), min_size=1, max_size=2
        ).map(tune.choice),
    )


_spaces = st.dictionaries(
    _keys, st.recursive(st.one_of(_domains, _values), _groups, max_leaves=6), max_size=4
)


def _has_bad_names(space: Any) -> bool:
    """Whether two keys read alike when joined by "/", which is ambiguous in Tune itself."""
    if isinstance(space, dict):
        names = [str(name) for name in space]
        clash = len(set(names)) < len(names) or any("/" in name for name in names)
        return clash or any(map(_has_bad_names, space.values()))
    if isinstance(space, (list, tuple)):
        return any(map(_has_bad_names, space))
    categories = getattr(space, "categories", None)
    return categories is not None and any(map(_has_bad_names, categories))


@settings(max_examples=100, deadline=None)
@given(_spaces.filter(lambda space: not _has_bad_names(space)), st.integers(0, 99))
def test_tunes_own_draws_are_of_our_space_and_come_back_unchanged(
    param_space: dict[Any, Any], seed: int
) -> None:
    space = TuneSpace(param_space)
    try:
        variants = drawn(param_space, seed)
    except (TypeError, ValueError, RuntimeError):
        assume(False)  # what Tune itself cannot draw: a domain in a tuple in a tuple
    for varying, user in variants[:3]:
        config = space.flat(user)
        space.space.check(config)
        assert pformat(space.nested(config)) == pformat(user)  # types too, whatever the order
        assert space.flat(space.varying(config)) == config
        if not any(parameter.when for parameter in space.space.parameters.values()):
            # of a choice between spaces Tune's record holds the domains as well as the draws
            assert pformat(space.nested(space.flat(varying))) == pformat(user)


_simple = st.dictionaries(st.sampled_from("abc"), _domains, min_size=1)


@settings(max_examples=100, deadline=None)
@given(_simple, st.integers(0, 99))
def test_our_own_draws_are_what_tune_calls_valid(param_space: dict[str, Any], seed: int) -> None:
    space = TuneSpace(param_space)
    known = {
        name: domain for name, domain in param_space.items() if name not in space.only_drawn_by_tune
    }
    user = TuneSpace(known).nested(TuneSpace(known).space.sample(Stream(seed)))
    for name, domain in known.items():
        if isinstance(domain, dict):
            assert user[name] in domain["grid_search"]
        else:
            assert domain.is_valid(user[name])


def test_free_values_survive_json() -> None:
    space = TuneSpace({"x": tune.sample_from(lambda _: None)})
    assert isinstance(space.space.parameters["x"].domain, Free)
    for value in (float("inf"), 1 << 70, (1, [2, {"a": 3}]), {1: "a"}, {"$a": 1}, math.sqrt):
        assert space.nested(space.flat({"x": value})) == {"x": value}
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    back = space.nested(space.flat({"x": array}))["x"]
    assert back.dtype == array.dtype
    assert (back == array).all()
    with pytest.raises(SpaceError, match=r"x: .*cannot be written into a table"):
        space.flat({"x": Wide(1)})
