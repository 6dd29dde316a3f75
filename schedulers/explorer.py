"""How a child's config comes from its donor's: the seam, and the perturbation of Jaderberg et al.

"Population Based Training of Neural Networks", arXiv:1711.09846, appendix A.1: each parameter is
multiplied by a factor drawn from a few, or drawn anew from its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from raysweep.trials.domains import Choice, Domain, Fixed, Float, Int
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.free import Free
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config

_DRAWS = 100
"""Draws after which a config that violates every constraint is given up for the donor's own."""


class Interval(NamedTuple):
    """What `config` did from one rung to the next; scores are lower-is-better and finite."""

    config: Config
    from_step: int
    to_step: int
    before: float
    after: float


class Explorer(Protocol):
    """Makes configs of other configs."""

    def learn(self, interval: Interval) -> None:
        """A member of the population has come from one rung to the next."""
        ...

    def explore(
        self, config: Config, step: int, others: Sequence[Config], stream: Stream
    ) -> dict[str, Any]:
        """A config for a child that goes on at `step`, where its donor has `config`.

        Args:
            config: of the donor.
            step: the child's first.
            others: the configs that the rest of the population goes on with.
            stream: chance; nothing else may be drawn from.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Everything learnt, as plain JSON data."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...


def changeable(space: Space, rule: str, named: Sequence[str] | None) -> tuple[str, ...]:
    """The parameters that a child may have another value of, in the space's order.

    Args:
        space: of the sweep.
        rule: for messages.
        named: those that the spec names; None: all that exist in every config, vary, and decide
            about no other parameter's existence.

    Raises:
        SpecError: a name that is no parameter, or one that may not change; or there is none.
    """
    deciding = {parent for parameter in space.parameters.values() for parent in parameter.when}
    wrong = {
        name: "exists in some configs only"
        if parameter.when
        else "never varies"
        if isinstance(parameter.domain, Fixed | Free)
        else "decides which other parameters there are"
        for name, parameter in space.parameters.items()
        if parameter.when or isinstance(parameter.domain, Fixed | Free) or name in deciding
    }
    free = tuple(name for name in space.parameters if name not in wrong)
    if named is None:
        if not free:
            reasons = "; ".join(f"{name} {reason}" for name, reason in wrong.items())
            raise SpecError(
                f"scheduler {rule}: no parameter may change from trial to child: {reasons}"
            )
        return free
    flat = {name.replace(".", "/") for name in named}
    for name in sorted(flat):
        if name not in space.parameters:
            raise SpecError(
                f"scheduler {rule}: change names {name!r}, which is no parameter; "
                f"{nearest(name, space.parameters)}"
            )
        if name in wrong:
            raise SpecError(
                f"scheduler {rule}: change names {name!r}, which {wrong[name]}; leave it out"
            )
    return tuple(name for name in free if name in flat)


class Perturb:
    """Multiplies numbers by a factor, moves to a neighbour in a list, or draws anew.

    Args:
        space: whose domains and constraints the result satisfies.
        names: the parameters that change; the rest stays as the donor has it.
        factors: one of these multiplies a number; one above 1 stands for the next option of an
            ordinal, one below for the one before. Options without an order change only if drawn anew.
        resample_probability: how likely a parameter is drawn from its domain instead.
    """

    def __init__(
        self,
        space: Space,
        names: Sequence[str],
        factors: Sequence[float],
        resample_probability: float,
    ) -> None:
        self._space, self._names = space, tuple(names)
        self._factors, self._resample = tuple(factors), resample_probability

    def learn(self, interval: Interval) -> None:
        """Nothing: it explores blindly."""

    def explore(
        self, config: Config, step: int, others: Sequence[Config], stream: Stream
    ) -> dict[str, Any]:
        """The donor's config with every parameter perturbed or drawn anew."""
        return first_allowed(self._space, config, lambda: self._drawn(config, stream))

    def _drawn(self, config: Config, stream: Stream) -> dict[str, Any]:
        changed = {}
        for name in self._names:
            if name not in config:
                continue
            domain = self._space.parameters[name].domain
            if stream.uniform() < self._resample:
                changed[name] = domain.sample(stream)
            else:
                changed[name] = perturbed(domain, config[name], stream.choice(self._factors))
        return changed

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing."""


def first_allowed(
    space: Space, config: Config, draw: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """`config` with the first of up to 100 drawn changes that `space` allows; else as it is.

    Args:
        space: of the sweep.
        config: the donor's.
        draw: gives changes, by parameter.
    """
    for _ in range(_DRAWS):
        child: dict[str, Any] = {**config, **draw()}
        try:
            space.check(child)
        except SpaceError:
            continue
        return child
    return dict(config)


def perturbed(domain: Domain, value: Any, factor: float) -> Any:
    """`value` times `factor`, as near to it as `domain` has a value.

    Example:
        >>> perturbed(Int(1, 100), 10, 1.2), perturbed(Int(1, 100), 2, 1.2)
        (12, 3)
    """
    if isinstance(domain, Choice):
        return _neighbour(domain, value, factor)
    if not isinstance(domain, Float | Int):
        return value
    scaled = min(max(value * factor, domain.low), domain.high)
    found = scaled if domain.contains(scaled) else _snapped(domain, scaled)
    if found != value or not isinstance(domain, Int) or not value:
        return found
    step = domain.step if (factor > 1) == (value > 0) else -domain.step
    return found + step if domain.contains(found + step) else found


def _snapped(domain: Float | Int, value: float) -> Any:
    if isinstance(domain, Int):
        whole = domain.low + round((value - domain.low) / domain.step) * domain.step
        return min(int(whole), domain.high - (domain.high - domain.low) % domain.step)
    return domain.decode(domain.encode(value))


def _neighbour(domain: Choice, value: Any, factor: float) -> Any:
    if not domain.ordered:
        return value
    place = domain.options.index(value) + (1 if factor > 1 else -1)
    return domain.options[min(max(place, 0), len(domain.options) - 1)]
