"""One parameter: a domain and the condition under which it exists; how YAML and Python write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raysweep.trials.domains import Choice, Domain, Fixed, Float, Int
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.names import nearest
from raysweep.trials.values import plain


@dataclass(frozen=True, slots=True)
class Parameter:
    """A domain, and the values of other parameters under which it is active (empty: always).

    Every parameter that `when` names must be active and have one of the values listed for it.
    """

    domain: Domain
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


When = Mapping[str, Any] | None


def uniform(low: float, high: float, when: When = None) -> Parameter:
    """Floats in [low, high], both bounds inclusive."""
    return Parameter(Float(low, high), conditions(when))


def quniform(low: float, high: float, q: float, when: When = None) -> Parameter:
    """Floats low, low + q, low + 2q, ... up to `high` inclusive, each equally likely."""
    return Parameter(Float(low, high, step=q), conditions(when))


def loguniform(low: float, high: float, when: When = None) -> Parameter:
    """Floats in [low, high] whose logarithm is uniform; `low` above 0, both bounds inclusive."""
    return Parameter(Float(low, high, log=True), conditions(when))


def qloguniform(low: float, high: float, q: float, when: When = None) -> Parameter:
    """As `loguniform`, rounded to low + k·q."""
    return Parameter(Float(low, high, log=True, step=q), conditions(when))


def randint(low: int, high: int, when: When = None) -> Parameter:
    """Integers from `low` to `high`, both bounds INCLUSIVE (Ray Tune and numpy exclude `high`)."""
    return Parameter(Int(low, high), conditions(when))


def qrandint(low: int, high: int, q: int, when: When = None) -> Parameter:
    """Integers low, low + q, low + 2q, ... up to `high` INCLUSIVE, each equally likely."""
    return Parameter(Int(low, high, step=q), conditions(when))


def lograndint(low: int, high: int, when: When = None) -> Parameter:
    """Integers whose logarithm is uniform; `low` at least 1, both bounds INCLUSIVE."""
    return Parameter(Int(low, high, log=True), conditions(when))


def qlograndint(low: int, high: int, q: int, when: When = None) -> Parameter:
    """As `lograndint`, rounded to low + k·q."""
    return Parameter(Int(low, high, log=True, step=q), conditions(when))


def choice(options: Sequence[Any], when: When = None) -> Parameter:
    """One of `options`, each equally likely."""
    return Parameter(Choice(options), conditions(when))


def ordinal(options: Sequence[Any], when: When = None) -> Parameter:
    """As `choice`, where neighbours in the list are alike, e.g. small, medium, large."""
    return Parameter(Choice(options, ordered=True), conditions(when))


def fixed(value: Any, when: When = None) -> Parameter:
    """A value that never varies; a bare number or text in a space means the same."""
    return Parameter(Fixed(value), conditions(when))


def free(column: str = "json", when: When = None) -> Parameter:
    """Any plain value, for searchers that make values of their own; `column` is its table type."""
    return Parameter(Free(column), conditions(when))


def conditions(when: Any) -> dict[str, tuple[Any, ...]]:
    """`when` with every value as a tuple of alternatives.

    Raises:
        SpaceError: if it is no mapping from names to values.
    """
    if when is None:
        return {}
    if not isinstance(when, Mapping) or not all(isinstance(name, str) for name in when):
        raise SpaceError(f"when must map parameters to values, as {{optimizer: sgd}}; got {when!r}")
    return {
        name.replace(".", "/"): tuple(plain(v) for v in _alternatives(value))
        for name, value in when.items()
    }


def _alternatives(value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        return (value,)
    if not value:
        raise SpaceError("when lists no value, so it never holds; list at least one")
    return value


class Distribution(NamedTuple):
    """A way to write a parameter: `arguments` are named as a user should give them in a list."""

    build: Callable[..., Parameter]
    arguments: tuple[str, ...]
    whole: bool = False
    """Whether the list as a whole, or any value, is the only argument."""


DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": Distribution(uniform, ("low", "high")),
    "quniform": Distribution(quniform, ("low", "high", "q")),
    "loguniform": Distribution(loguniform, ("low", "high")),
    "qloguniform": Distribution(qloguniform, ("low", "high", "q")),
    "randint": Distribution(randint, ("low", "high")),
    "qrandint": Distribution(qrandint, ("low", "high", "q")),
    "lograndint": Distribution(lograndint, ("low", "high")),
    "qlograndint": Distribution(qlograndint, ("low", "high", "q")),
    "choice": Distribution(choice, ("a", "b", "..."), whole=True),
    "ordinal": Distribution(ordinal, ("a", "b", "..."), whole=True),
    "grid": Distribution(choice, ("a", "b", "..."), whole=True),
    "fixed": Distribution(fixed, ("value",), whole=True),
    "free": Distribution(free, ("column",), whole=True),
}
"""Every distribution by the key that names it in a mapping."""


def read_parameter(written: Mapping[str, Any]) -> Parameter:
    """The parameter that a mapping such as `{uniform: [0, 1], when: {optimizer: sgd}}` stands for.

    Raises:
        SpaceError: for anything but one distribution and perhaps a `when`.
    """
    names = [name for name in written if name != "when"]
    if len(names) != 1 or names[0] not in DISTRIBUTIONS:
        wrong = next((name for name in names if name not in DISTRIBUTIONS), None)
        if wrong is None:
            raise SpaceError(f"{' and '.join(names)} are two distributions; give one")
        raise SpaceError(
            f"{wrong!r} is no distribution and nothing that may stand beside one; "
            f"{nearest(wrong, [*DISTRIBUTIONS, 'when'])}"
        )
    name = names[0]
    distribution, given = DISTRIBUTIONS[name], written[name]
    arguments = [given] if distribution.whole else _arguments(name, distribution, given)
    return distribution.build(*arguments, when=written.get("when"))


def _arguments(name: str, distribution: Distribution, given: Any) -> list[Any]:
    wanted = f"{name}: [{', '.join(distribution.arguments)}]"
    if not isinstance(given, (list, tuple)) or len(given) != len(distribution.arguments):
        raise SpaceError(f"got {name}: {given!r}; write {wanted}")
    return list(given)


def write_parameter(parameter: Parameter) -> Any:
    """The plain value from which `read_parameter`, or a bare scalar, gives `parameter` back."""
    domain = parameter.domain
    when = {
        name: list(values) if len(values) > 1 or isinstance(values[0], list) else values[0]
        for name, values in parameter.when.items()
    }
    if isinstance(domain, Fixed):
        value: Any = domain.value
        if not when and not isinstance(value, (list, dict)):
            return value
        return {"fixed": value} | ({"when": when} if when else {})
    if isinstance(domain, Free):
        return {"free": domain.column} | ({"when": when} if when else {})
    name, arguments = _written(domain)
    return {name: arguments} | ({"when": when} if when else {})


def _written(domain: Domain) -> tuple[str, list[Any]]:
    if isinstance(domain, Choice):
        return ("ordinal" if domain.ordered else "choice"), list(domain.options)
    if not isinstance(domain, (Float, Int)):
        raise SpaceError(f"{domain!r} has no written form; use one of {', '.join(DISTRIBUTIONS)}")
    stepped = domain.step not in ((None,) if isinstance(domain, Float) else (1,))
    noun = "uniform" if isinstance(domain, Float) else "randint"
    name = ("q" if stepped else "") + ("log" if domain.log else "") + noun
    return name, [domain.low, domain.high, *([domain.step] if stepped else [])]
