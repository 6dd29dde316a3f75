"""Constraints: expressions over parameters, read by a whitelist and never evaluated as code.

Allowed: numbers, text, true/false/None (`True`, `False`, `None`), parameters (`lr`; in a group
`net.width`), `+ - * / // % **`, comparisons (also chained), `in` and `not in` with a list,
`and`, `or`, `not`, and `min max abs log log2 log10 sqrt exp`. The text is parsed to a syntax tree
and each node becomes a closure; powers are taken in floating point, so no number can grow without
bound.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from raysweep.trials.errors import SpaceError
from raysweep.trials.names import nearest

MAX_LENGTH = 1000
"""How many characters a constraint may have."""
MAX_COUNT = 200
"""How many constraints a space may have."""
MAX_DEPTH = 100
"""How deeply its terms may be nested."""

_Term = Callable[[Mapping[str, Any]], Any]


class Constraint:
    """One condition that every config has to satisfy.

    Args:
        text: the expression, e.g. `"lr * net.width <= 8"`.

    Attributes:
        text: the expression as given.
        names: the flat names of the parameters in it, e.g. `{"lr", "net/width"}`.
        terms: how many operations and values it has, which is what it costs to evaluate.

    Raises:
        SpaceError: for anything outside the whitelist, and for an expression that is no condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        reader = _Reader(text)
        self._test = reader.condition()
        self.names = frozenset(reader.names)
        self.terms = reader.terms

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether `config` satisfies it.

        A constraint that mentions an inactive parameter, which `config` lacks, counts as
        satisfied; one whose value does not exist (a division by zero, the log of a negative
        number) as violated.

        Raises:
            SpaceError: if it compares or computes with values of unlike kinds, as `"sgd" < 3`.
        """
        if not self.names <= config.keys():
            return True
        try:
            return bool(self._test(config))
        except (ArithmeticError, ValueError):
            return False
        except TypeError as error:
            shown = {name: config.get(name) for name in sorted(self.names)}
            raise SpaceError(
                f"constraint {self.text!r} makes no sense for {shown}: {error}; compare numbers "
                f"with numbers and text with text"
            ) from None


class _Reader:
    """Turns the text of one constraint into closures."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: set[str] = set()
        self.terms = 0

    def condition(self) -> _Term:
        """The whole expression, which must be true or false."""
        tree = self._parse()
        term = self._term(tree, 0)
        if not _is_condition(tree):
            raise self._refuse("is no condition", "compare it with something, as in `a * b <= 8`")
        return term

    def _parse(self) -> ast.expr:
        if not isinstance(self.text, str):
            raise SpaceError(f"a constraint is text such as 'a * b <= 8', got {self.text!r:.80}")
        if len(self.text) > MAX_LENGTH:
            raise SpaceError(
                f"a constraint has {len(self.text)} characters; {MAX_LENGTH} are allowed: split it"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd literal is the user's affair, not stderr's
                return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            what = error.msg if isinstance(error, SyntaxError) else "nested too deeply"
            raise self._refuse(f"cannot be read ({what})", "write it as `a * b <= 8`") from None

    def _refuse(self, what: str, advice: str) -> SpaceError:
        return SpaceError(f"constraint {self.text!r:.300} {what}; {advice}")

    def _term(self, node: ast.AST, depth: int) -> _Term:
        if depth > MAX_DEPTH:
            raise self._refuse(f"is nested more than {MAX_DEPTH} deep", "split it into several")
        self.terms += 1
        read = _READERS.get(type(node))
        if read is None:
            raise self._refuse(
                f"uses {_word(node)}, which is not allowed",
                "allowed are numbers, text, parameters, arithmetic, comparisons, and/or/not, in, "
                f"{', '.join(_FUNCTIONS)}",
            )
        return read(self, node, depth + 1)

    def _constant(self, node: ast.Constant, depth: int) -> _Term:
        value = node.value
        if not isinstance(value, (int, float, str)) and value is not None:
            raise self._refuse(f"uses {value!r}", "literals are numbers, text, True, False, None")
        return lambda config: value

    def _name(self, node: ast.expr, depth: int) -> _Term:
        name = _dotted(node)
        if name is None:
            raise self._refuse(f"uses {_word(node)}", "write a parameter in a group as `net.width`")
        self.names.add(name)
        return operator.itemgetter(name)

    def _list(self, node: ast.List | ast.Tuple, depth: int) -> _Term:
        terms = [self._term(item, depth) for item in node.elts]
        return lambda config: [term(config) for term in terms]

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Term:
        term = self._term(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda config: not term(config)
        if isinstance(node.op, ast.USub):
            return lambda config: -_number(term(config))
        if isinstance(node.op, ast.UAdd):
            return lambda config: _number(term(config))
        raise self._refuse("uses ~", "write `not`")

    def _binary(self, node: ast.BinOp, depth: int) -> _Term:
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise self._refuse(f"uses {_word(node.op)}", "allowed are + - * / // % **")
        calculate = function
        left, right = self._term(node.left, depth), self._term(node.right, depth)
        return lambda config: calculate(_number(left(config)), _number(right(config)))

    def _boolean(self, node: ast.BoolOp, depth: int) -> _Term:
        terms = [self._term(value, depth) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda config: all(term(config) for term in terms)
        return lambda config: any(term(config) for term in terms)

    def _compare(self, node: ast.Compare, depth: int) -> _Term:
        first = self._term(node.left, depth)
        rest: list[tuple[Callable[[Any, Any], Any], _Term]] = []
        for op, right in zip(node.ops, node.comparators, strict=True):
            test = _COMPARISONS.get(type(op))
            if test is None:
                raise self._refuse(f"uses {_word(op)}", "allowed are < <= > >= == != in not in")
            rest.append((test, self._term(right, depth)))
        if len(rest) > 1:
            return lambda config: _chain(first, rest, config)
        test, second = rest[0]
        return lambda config: test(first(config), second(config))

    def _call(self, node: ast.Call, depth: int) -> _Term:
        name = node.func.id if isinstance(node.func, ast.Name) else _word(node.func)
        known = _FUNCTIONS.get(name)
        if known is None:
            raise self._refuse(f"calls {name!r}", nearest(name, _FUNCTIONS))
        function, least, most = known
        if node.keywords or not least <= len(node.args) <= most:
            wanted = "one number" if most == 1 else "two numbers or more"
            raise self._refuse(f"calls {name!r} wrongly", f"it takes {wanted}")
        terms = [self._term(argument, depth) for argument in node.args]
        return lambda config: function(*[_number(term(config)) for term in terms])


def _chain(
    first: _Term,
    rest: list[tuple[Callable[[Any, Any], Any], _Term]],
    config: Mapping[str, Any],
) -> bool:
    left = first(config)
    for test, term in rest:
        right = term(config)
        if not test(left, right):
            return False
        left = right
    return True


def _number(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"{value!r} is no number")


def _is_condition(node: ast.AST) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(_is_condition(value) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) and _is_condition(node.operand)
    if isinstance(node, (ast.Compare, ast.Name, ast.Attribute)):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _dotted(node: ast.expr) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return "/".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else None


def _word(node: ast.AST) -> str:
    return f"a {type(node).__name__}"


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "min": (min, 2, MAX_LENGTH),
    "max": (max, 2, MAX_LENGTH),
    "abs": (abs, 1, 1),
    "log": (math.log, 1, 1),
    "log2": (math.log2, 1, 1),
    "log10": (math.log10, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "exp": (math.exp, 1, 1),
}
_READERS: dict[type[ast.AST], Callable[[_Reader, Any, int], _Term]] = {
    ast.Constant: _Reader._constant,
    ast.Name: _Reader._name,
    ast.Attribute: _Reader._name,
    ast.List: _Reader._list,
    ast.Tuple: _Reader._list,
    ast.UnaryOp: _Reader._unary,
    ast.BinOp: _Reader._binary,
    ast.BoolOp: _Reader._boolean,
    ast.Compare: _Reader._compare,
    ast.Call: _Reader._call,
}
