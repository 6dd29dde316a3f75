from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raysweep.trials.constraints import MAX_DEPTH, MAX_LENGTH, Constraint
from raysweep.trials.errors import SpaceError

CONFIG: dict[str, Any] = {
    "lr": 0.01, "width": 64, "net/width": 8, "net/block/kind": "conv", "opt": "sgd", "bias": True, "note": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("lr * width <= 8", True),
        ("lr * width > 8", False),
        ("16 <= width < 64", False),
        ("16 <= width <= 64 <= 100", True),
        ("net.width * 8 == width", True),
        ("net.block.kind == 'conv'", True),
        ("opt in ['sgd', 'adam']", True),
        ("opt not in ('sgd', 'adam')", False),
        ("not (opt == 'sgd' and width > 100)", True),
        ("width > 100 or lr < 1", True),
        ("bias", True),
        ("not bias", False),
        ("note == None", True),
        ("width % 16 == 0", True),
        ("width // 10 == 6", True),
        ("width / 128 == 0.5", True),
        ("2 ** 6 == width", True),
        ("-lr < +0", True),
        ("log2(width) == 6", True),
        ("log10(lr) == -2", True),
        ("abs(log(lr)) > 4", True),
        ("sqrt(width) == 8", True),
        ("exp(0) == 1", True),
        ("min(width, 3, 5) == 3", True),
        ("max(width, 3) == 64", True),
        ("bias + bias == 2", True),
        ("  lr < 1  ", True),
        ("True", True),
        ("1e-3 < lr", True),
    ],
)
def test_what_expressions_mean(text: str, holds: bool) -> None:
    assert Constraint(text).holds(CONFIG) is holds


def test_the_names_in_an_expression_are_flat() -> None:
    assert Constraint("min(lr, 2) < net.block.kind").names == {"lr", "net/block/kind"}


def test_an_expression_with_an_inactive_parameter_is_satisfied() -> None:
    assert Constraint("momentum > 1").holds(CONFIG)
    assert Constraint("width > 1000 and momentum > 1").holds(CONFIG)


@pytest.mark.parametrize(
    "text",
    ["1 / (width - 64) < 1", "log(-width) < 1", "sqrt(-1) < 1", "9 ** 9 ** 9 < 1", "exp(1000) < 1",
     "(-8) ** 0.5 < 1", "width % 0 == 0"],
)  # fmt: skip
def test_a_value_that_does_not_exist_violates(text: str) -> None:
    assert not Constraint(text).holds(CONFIG)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("opt < 3", r"makes no sense for \{'opt': 'sgd'\}: .*compare numbers with numbers"),
        ("opt * 1000000000 == 'a'", "'sgd' is no number"),
        ("'%s' % lr == 'a'", "'%s' is no number"),
        ("[1] * 3 == lr", r"\[1\] is no number"),
        ("abs(opt) < 1", "'sgd' is no number"),
        ("lr in 3", "makes no sense"),
        ("-note < 1", "None is no number"),
    ],
)
def test_unlike_kinds_are_an_error(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Constraint(text).holds(CONFIG)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "calls 'a Attribute'; allowed: min, max"),
        ("open('x') == 1", "calls 'open'"),
        ("sqr(lr) < 1", r"calls 'sqr'; did you mean 'sqrt'\?"),
        ("lr.__class__ == 1 or (1).real == 1", "uses a Attribute"),
        ("[x for x in [1]] == 1", "uses a ListComp, which is not allowed"),
        ("(lambda: 1) == 1", "uses a Lambda"),
        ("lr if bias else width", "uses a IfExp"),
        ("f'{lr}' == '1'", "uses a JoinedStr"),
        ("(x := 3) == 3", "uses a NamedExpr"),
        ("net['width'] < 1", "uses a Subscript"),
        ("{1: 2} == 3", "uses a Dict"),
        ("lr @ width < 1", "uses a MatMult"),
        ("width << 64 > 1", "uses a LShift"),
        ("~width < 1", "uses ~; write `not`"),
        ("lr is None", "uses a Is"),
        ("b'x' == lr", "uses b'x'"),
        ("1j == lr", "uses 1j"),
        ("... == lr", "uses Ellipsis"),
        ("min(lr) < 1", "it takes two numbers or more"),
        ("log(lr, 2) < 1", "it takes one number"),
        ("max(lr, key=abs) < 1", "calls 'max' wrongly"),
        ("min(*[lr], 2) < 1", "uses a Starred"),
        ("lr * width", "is no condition; compare it with something"),
        ("lr < 1 and width", ""),
        ("lr < 1 and width * 2", "is no condition"),
        ("not 3", "is no condition"),
        ("1", "is no condition"),
        ("'lr < 1'", "is no condition"),
        ("max(lr, 1)", "is no condition"),
        ("lr <", "cannot be read"),
        ("", "cannot be read"),
        ("lr = 3", "cannot be read"),
        ("lr < 1; lr > 0", "cannot be read"),
        ("lambda < 1", "cannot be read"),
        ("lr < 1\x00", "cannot be read"),
        ("(" * 300 + "lr" + ")" * 300 + "< 1", "cannot be read"),
        ("-" * 900 + "lr < 1", "nested"),
        ("not " * (MAX_DEPTH + 2) + "bias", "nested more than 100 deep; split"),
        ("lr < 1 or " * 101 + "lr < 1", f"{MAX_LENGTH} are allowed: split it"),
        (3, "a constraint is text such as"),
    ],
)  # fmt: skip
def test_refusals(text: Any, message: str) -> None:
    if not message:
        Constraint(text)
        return
    with pytest.raises(SpaceError, match=message):
        Constraint(text)


PIECES = st.sampled_from(
    ["lr", "net.width", "opt", "3", "0", "1e308", "9", "'a'", "None", "[1, lr]", "(", ")", "[", "]", ",", ".",
     "+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", "in", "not", "and", "or", "is", "if", "else",
     "min(", "log(", "exp(", "sqrt(", "abs(", "lambda", ":", "=", "~", "@", "\\", "\n", "#", "\x00", "0x", "1_", "𝟙"]
)  # fmt: skip


def outcome(text: str, config: dict[str, Any]) -> None:
    with contextlib.suppress(SpaceError):
        assert isinstance(Constraint(text).holds(config), bool)


@given(st.text(max_size=60))
@example("1if 2else 3")
@example("'\\d' == lr")
@example("0xfor x in lr")
def test_arbitrary_text_raises_nothing_but_space_errors(text: str) -> None:
    outcome(text, CONFIG)


@given(st.lists(PIECES, max_size=25).map(" ".join))
def test_nearly_right_text_raises_nothing_but_space_errors(text: str) -> None:
    outcome(text, CONFIG)


class Sum(NamedTuple):
    """An expression as text, and as a function that Python computes."""

    text: str
    value: Callable[[int, float], float]


def both(left: Sum, sign: str, right: Sum) -> Sum:
    calculate = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
                 "//": operator.floordiv, "%": operator.mod}[sign]  # fmt: skip
    return Sum(
        f"({left.text} {sign} {right.text})",
        lambda x, y: calculate(left.value(x, y), right.value(x, y)),
    )


def greatest(left: Sum, right: Sum) -> Sum:
    return Sum(
        f"max({left.text}, {right.text})", lambda x, y: max(left.value(x, y), right.value(x, y))
    )


SUMS = st.recursive(
    st.sampled_from(
        [Sum("x", lambda x, y: x), Sum("y", lambda x, y: y), Sum("2", lambda x, y: 2), Sum("-0.5", lambda x, y: -0.5)]
    ),
    lambda inner: st.builds(both, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner)
    | st.builds(greatest, inner, inner),
    max_leaves=8,
)  # fmt: skip
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}  # fmt: skip


@given(SUMS, SUMS, st.sampled_from(list(COMPARISONS)), st.integers(-9, 9), st.floats(-9, 9))
def test_arithmetic_is_python_s(left: Sum, right: Sum, sign: str, x: int, y: float) -> None:
    try:
        expected = COMPARISONS[sign](left.value(x, y), right.value(x, y))
    except ZeroDivisionError:
        expected = False
    assert Constraint(f"{left.text} {sign} {right.text}").holds({"x": x, "y": y}) is expected


@pytest.mark.parametrize(
    "text",
    ["9**9**9 > 1", "2**10000000 > 1", "*".join(["9e9"] * 90) + " > 1", "*".join(["99999999999"] * 80) + " > 1"],
)  # fmt: skip
def test_no_expression_takes_long(text: str) -> None:
    start = time.perf_counter()
    Constraint(text).holds({})
    assert time.perf_counter() - start < 0.5


def test_infinite_literals_are_numbers() -> None:
    assert Constraint("lr < 1e999").holds({"lr": math.pi})
