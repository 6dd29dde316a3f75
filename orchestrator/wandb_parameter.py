"""One parameter of a W&B sweep as one of ours.

What W&B draws from each distribution is told by its search engine (github.com/wandb/sweeps,
`params.py` and `config/schema.json`); where a space of ours has no such law, the nearest is taken
and a note says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest
from raysweep.trials.values import key

QUANTILES = 64
"""How many equally likely values stand for a normal or a beta distribution."""
_WORDS_OF_YAML_1_1 = {"yes", "no", "on", "off", "y", "n"}


def read_wandb(written: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The parameter as a spec of ours writes it, and what is not exactly as in W&B.

    Raises:
        SpecError: for what W&B would refuse too.
    """
    entry = _Entry(written)
    return entry.read(), entry.notes


class _Entry:
    """One parameter as W&B writes it."""

    def __init__(self, written: Mapping[str, Any]) -> None:
        self._written = dict(written)
        self.notes: list[str] = []

    def read(self) -> Any:
        """The parameter as a spec of ours writes it."""
        law = self._law()
        allowed = _KEYS[law]
        for name in self._written:
            if name != "distribution" and name not in allowed:
                raise SpecError(f"{law} takes no {name!r}; {nearest(name, allowed)}")
        return _READERS[law](self)

    def _law(self) -> str:
        """The distribution: named, or the one that W&B takes where none is."""
        given = self._written
        law = given.get("distribution")
        if law is not None:
            if law not in _READERS:
                raise SpecError(f"distribution {law!r} is unknown; {nearest(law, _READERS)}")
            return str(law)
        if "value" in given:
            return "constant"
        if "values" in given:
            return "categorical_w_probabilities" if "probabilities" in given else "categorical"
        if {"min", "max"} <= given.keys():
            whole = all(isinstance(given[name], int) for name in ("min", "max"))
            return "int_uniform" if whole else "uniform"
        raise SpecError(
            f"got {given!r}; write {{value: ...}}, {{values: [...]}}, {{min: ..., max: ...}}, or a "
            f"distribution with what it needs"
        )

    def _number(self, name: str, default: float | None = None) -> float:
        value = self._written.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpecError(f"{name} is {value!r}; it must be a number")
        if not math.isfinite(value):
            raise SpecError(f"{name} is {value!r}; it must be finite")
        return value

    def _range(self) -> tuple[float, float]:
        return self._number("min"), self._number("max")

    def constant(self) -> Any:
        if "value" not in self._written:
            raise SpecError("constant needs value")
        self._warn_of_words([self._written["value"]])
        return {"fixed": self._written["value"]}

    def categorical(self) -> Any:
        values = self._values()
        return {"choice": self._distinct(values)}

    def weighted(self) -> Any:
        values, weights = self._values(), self._written.get("probabilities")
        if not isinstance(weights, list) or len(weights) != len(values):
            raise SpecError("probabilities must be a list with a number for each of values")
        kept = [value for value, weight in zip(values, weights, strict=True) if weight != 0]
        if len(set(weights)) > 1:
            self.notes.append(
                "raysweep draws each option equally often; probabilities are not taken"
                + (", but what has 0 is left out" if len(kept) < len(values) else "")
            )
        return {"choice": self._distinct(kept)}

    def _values(self) -> list[Any]:
        values = self._written.get("values")
        if not isinstance(values, list) or not values:
            raise SpecError(f"values is {values!r}; list at least one")
        self._warn_of_words(values)
        return values

    def _distinct(self, values: list[Any]) -> list[Any]:
        found = {key(value): value for value in reversed(values)}
        if len(found) < len(values):
            self.notes.append("an option that is listed twice counts once")
        return list(found.values())[::-1]

    def _warn_of_words(self, values: list[Any]) -> None:
        words = [v for v in values if isinstance(v, str) and v.lower() in _WORDS_OF_YAML_1_1]
        if words:
            self.notes.append(
                f"{words[0]} is text here; W&B reads it as a truth value: write true or false"
            )

    def whole_numbers(self) -> Any:
        low, high = self._range()
        return _ranged("randint", int(low), int(high))

    def numbers(self) -> Any:
        return _ranged("uniform", *self._range())

    def log_of_exponents(self) -> Any:
        low, high = self._range()
        return _ranged("loguniform", _exp(low), _exp(high))

    def log_of_values(self) -> Any:
        return _ranged("loguniform", *self._range())

    def inverse_of_exponents(self) -> Any:
        low, high = self._range()
        return _ranged("loguniform", _exp(-high), _exp(-low))

    def stepped(self) -> Any:
        return self._multiples(*self._range(), log=False)

    def stepped_log_of_exponents(self) -> Any:
        low, high = self._range()
        return self._multiples(_exp(low), _exp(high), log=True)

    def stepped_log_of_values(self) -> Any:
        return self._multiples(*self._range(), log=True)

    def _multiples(self, low: float, high: float, *, log: bool) -> Any:
        """Multiples of q, as W&B rounds to them; integers where q is one."""
        q = self._step()
        first, last = _rounded(low, q), _rounded(high, q)
        if log and first <= 0:
            first = q
            self.notes.append(f"0, to which W&B may round, is left out; {q!r} is the least value")
        if first > last:
            raise SpecError(f"there is no multiple of q = {q!r} from {low!r} to {high!r}")
        if first == last:
            return {"fixed": first}
        if not log:
            self.notes.append(
                "the two end values are as likely as the others (in W&B half as likely)"
            )
        kind = "randint" if isinstance(q, int) else "uniform"
        return {f"q{'log' if log else ''}{kind}": [first, last, q]}

    def _step(self) -> float:
        q = self._number("q", 1.0)
        if q <= 0:
            raise SpecError(f"q is {q!r}; it must be above 0")
        return q

    def normal(self) -> Any:
        return self._quantiles("normal", self._bell(), None)

    def stepped_normal(self) -> Any:
        return self._quantiles("normal", self._bell(), self._step())

    def log_normal(self) -> Any:
        return self._quantiles("log-normal", [_exp(x) for x in self._bell()], None)

    def stepped_log_normal(self) -> Any:
        return self._quantiles("log-normal", [_exp(x) for x in self._bell()], self._step())

    def beta(self) -> Any:
        return self._quantiles("beta", self._shaped(), None)

    def stepped_beta(self) -> Any:
        return self._quantiles("beta", self._shaped(), self._step())

    def _bell(self) -> list[float]:
        mu, sigma = self._number("mu", 0.0), self._number("sigma", 1.0)
        if sigma <= 0:
            return [mu]
        law = NormalDist(mu, sigma)
        return [law.inv_cdf(p) for p in _middles()]

    def _shaped(self) -> list[float]:
        from scipy.special import betaincinv

        a, b = self._number("a", 1), self._number("b", 1)
        if a <= 0 or b <= 0:
            raise SpecError(f"a and b must be above 0, got {a!r} and {b!r}")
        return [float(betaincinv(a, b, p)) for p in _middles()]

    def _quantiles(self, law: str, values: list[float], q: float | None) -> Any:
        if q is not None:
            values = [_rounded(value, q) for value in values]
        else:
            values = [float(f"{value:.6g}") for value in values]
        distinct = list(dict.fromkeys(values))
        if len(distinct) == 1:
            return {"fixed": distinct[0]}
        rounded = "" if q is None else f", rounded to multiples of {q!r}: {len(distinct)} remain"
        self.notes.append(
            f"{law} is approximated by {QUANTILES} of its quantiles, each as likely as the "
            f"others{rounded}"
        )
        return {"ordinal": distinct}


def _middles() -> list[float]:
    return [(i + 0.5) / QUANTILES for i in range(QUANTILES)]


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        raise SpecError(
            f"e to the power of {x!r} is no number; min and max of a log_uniform are exponents: "
            f"write distribution: log_uniform_values to give the values themselves"
        ) from None


def _rounded(value: float, q: float) -> float:
    """The multiple of `q` that is next to `value`; half goes to the even one, as in numpy."""
    multiple = round(value / q)
    return multiple * q if isinstance(q, int) else round(multiple * q, 12)


def _ranged(name: str, low: float, high: float) -> Any:
    return {"fixed": low} if low == high else {name: [low, high]}


_READERS: dict[str, Callable[[_Entry], Any]] = {
    "constant": _Entry.constant,
    "categorical": _Entry.categorical,
    "categorical_w_probabilities": _Entry.weighted,
    "int_uniform": _Entry.whole_numbers,
    "uniform": _Entry.numbers,
    "q_uniform": _Entry.stepped,
    "log_uniform": _Entry.log_of_exponents,
    "log_uniform_values": _Entry.log_of_values,
    "inv_log_uniform": _Entry.inverse_of_exponents,
    "inv_log_uniform_values": _Entry.log_of_values,
    "q_log_uniform": _Entry.stepped_log_of_exponents,
    "q_log_uniform_values": _Entry.stepped_log_of_values,
    "normal": _Entry.normal,
    "q_normal": _Entry.stepped_normal,
    "log_normal": _Entry.log_normal,
    "q_log_normal": _Entry.stepped_log_normal,
    "beta": _Entry.beta,
    "q_beta": _Entry.stepped_beta,
}
_RANGE, _MOMENTS = ("min", "max"), ("mu", "sigma")
_KEYS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "beta": ("a", "b"),
    "q_beta": ("a", "b", "q"),
    **{name: _RANGE for name in _READERS if "uniform" in name},
    **{name: (*_RANGE, "q") for name in _READERS if re.match("q_.*uniform", name)},
    **dict.fromkeys(("normal", "log_normal"), _MOMENTS),
    **dict.fromkeys(("q_normal", "q_log_normal"), (*_MOMENTS, "q")),
}
