"""The space of configs: which parameters there are, when each exists, and which go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.trials.constraints import MAX_COUNT, Constraint
from raysweep.trials.domains import Domain, Fixed
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.layout import order, read_space, write_space
from raysweep.trials.names import nearest, nested
from raysweep.trials.parameters import Parameter
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config
from raysweep.trials.values import key

_PROOF_DRAWS = 10_000
"""Draws at construction of which one has to satisfy every constraint."""
_PROOF_TERMS = 10_000_000
"""Terms evaluated at construction, some seconds' worth, after which fewer draws have to do."""
_DRAWS = 100_000
"""Draws after which `sample` gives up."""
_TYPE_DRAWS = 64
"""Draws at construction that are made in any case, to meet comparisons of unlike kinds."""

_AXISLESS = (Fixed, Free)
"""Domains that take no place in the unit cube."""

_Conditions = tuple[tuple[str, frozenset[Any]], ...]


class _Step(NamedTuple):
    """One parameter in the order in which configs are built."""

    name: str
    domain: Domain
    when: _Conditions
    draw: Callable[[Stream], Any]
    contains: Callable[[Any], bool]


class Space:
    """Parameters by flat name (groups join with "/"), their conditions and constraints.

    Parameters stand in one canonical order, whatever the order in which they were written: by
    name, but after every parameter that their condition depends on. So a space that was sorted by
    a JSON writer draws the same configs.

    Args:
        parameters: by flat name, conditions naming flat names.
        constraints: expressions that every config satisfies (`raysweep.trials.constraints`).

    Attributes:
        parameters: by flat name, in canonical order.
        dims: the names of the d axes of the unit cube: every parameter that is neither fixed nor free.
        size: an upper bound on the number of configs; None if a domain is continuous.

    Raises:
        SpaceError: for a space without parameters, a condition on a parameter that does not exist
            or on a value it cannot take, circular conditions, and constraints that name unknown
            parameters or that nothing satisfies.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], constraints: Sequence[str] = ()
    ) -> None:
        self.parameters: dict[str, Parameter] = order(parameters)
        self.constraints = _read_constraints(constraints, self.parameters)
        self._steps = [_step(name, parameter) for name, parameter in self.parameters.items()]
        self.dims = tuple(s.name for s in self._steps if not isinstance(s.domain, _AXISLESS))
        self.size = _size(self.parameters.values())
        if self.constraints:
            self._prove()

    @classmethod
    def from_dict(cls, written: Mapping[str, Any], constraints: Sequence[str] = ()) -> Space:
        """The space that a mapping as in a spec stands for.

        Args:
            written: by name a distribution (`{uniform: [0, 1]}`, or `uniform(0, 1)` from Python),
                a bare scalar (a fixed value), or a mapping of these (a group; its `when` holds for
                all in it).
            constraints: as for `Space`.

        Raises:
            SpaceError: as `Space`, and for what is no distribution; the message begins with the
                parameter's name.
        """
        try:
            return cls(read_space(written), constraints)
        except RecursionError:
            raise SpaceError("values are nested too deeply; flatten them") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Space, (self.parameters, [constraint.text for constraint in self.constraints])

    def to_dict(self) -> dict[str, Any]:
        """The mapping from which `from_dict` makes this space again, constraints apart."""
        return write_space(self.parameters)

    def sample(self, stream: Stream) -> dict[str, Any]:
        """A config drawn from `stream`: each domain by its law, given the constraints.

        Raises:
            SpaceError: if 100,000 draws violate a constraint.
        """
        for _ in range(_DRAWS):
            config = self._draw(stream)
            if self.allows(config):
                return config
        raise SpaceError(
            f"{_DRAWS:,} draws in a row violate a constraint; narrow the domains so that the "
            f"constraints {[c.text for c in self.constraints]} accept more of the space"
        )

    def allows(self, config: Config) -> bool:
        """Whether `config`, of valid parameters, satisfies every constraint."""
        return all(constraint.holds(config) for constraint in self.constraints)

    def check(self, config: Config) -> None:
        """Refuse a config that is not of this space.

        Raises:
            SpaceError: if it lacks an active parameter, has an inactive or unknown one, a value
                outside its domain, or violates a constraint.
        """
        active = 0
        for name, domain, when, _, contains in self._steps:
            if when and not _active(when, config):
                continue
            active += 1
            if name not in config:
                raise SpaceError(f"{name}: the config lacks it; allowed is {domain.describe()}")
            if not contains(config[name]):
                raise SpaceError(f"{name}: got {config[name]!r}; allowed is {domain.describe()}")
        if active != len(config):
            raise self._surplus(config)
        for constraint in self.constraints:
            if not constraint.holds(config):
                shown = {name: config[name] for name in sorted(constraint.names)}
                raise SpaceError(f"{shown} violates the constraint {constraint.text!r}")

    def encode(self, config: Config) -> npt.NDArray[np.float64]:
        """`config` as a point of the unit cube, shape (d,) along `dims`; inactive axes are NaN."""
        values = [
            step.domain.encode(config[step.name]) if step.name in config else np.nan
            for step in self._steps
            if not isinstance(step.domain, _AXISLESS)
        ]
        return np.array(values, dtype=np.float64)

    def decode(self, u: npt.NDArray[np.float64]) -> dict[str, Any]:
        """The config at the point `u`, shape (d,), of the unit cube; constraints are not looked at.

        Conditions are evaluated anew: axes of parameters that turn out inactive are ignored, and
        NaN on the axis of an active one counts as 0.5.
        """
        coordinates = iter(u.tolist())
        config: dict[str, Any] = {}
        for name, domain, when, _, _ in self._steps:
            coordinate = 0.5 if isinstance(domain, _AXISLESS) else next(coordinates)
            if when and not _active(when, config):
                continue
            known = coordinate == coordinate
            config[name] = domain.decode(coordinate if known else 0.5)
        return config

    def columns(self) -> dict[str, str]:
        """Each parameter's type in a table: float64, int64, string, bool or json."""
        return {name: parameter.domain.column for name, parameter in self.parameters.items()}

    def nested(self, config: Config) -> dict[str, Any]:
        """`config` as training code gets it: `{"net/width": 8}` becomes `{"net": {"width": 8}}`."""
        return nested(config)

    def _draw(self, stream: Stream) -> dict[str, Any]:
        config: dict[str, Any] = {}
        for name, _, when, draw, _ in self._steps:
            if not when or _active(when, config):
                config[name] = draw(stream)
        return config

    def _surplus(self, config: Config) -> SpaceError:
        for name in config:
            if name not in self.parameters:
                return SpaceError(f"{name}: no such parameter; {nearest(name, self.parameters)}")
        extra = next(s for s in self._steps if s.name in config and not _active(s.when, config))
        return SpaceError(
            f"{extra.name}: the config has it, but it exists only when "
            f"{_shown(self.parameters[extra.name])}; leave it out"
        )

    def _prove(self) -> None:
        """Find a config that satisfies every constraint, or say which constraint stands in the way."""
        stream = Stream(0, "space", "constraints")
        rejected = dict.fromkeys(range(len(self.constraints)), 0)
        found = False
        terms = sum(constraint.terms for constraint in self.constraints) + len(self.parameters)
        draws = max(_TYPE_DRAWS + 1, min(_PROOF_DRAWS, _PROOF_TERMS // terms))
        for draw in range(draws):
            config = self._draw(stream)
            broken = [i for i, c in enumerate(self.constraints) if not c.holds(config)]
            for i in broken:
                rejected[i] += 1
            found = found or not broken
            if found and draw >= _TYPE_DRAWS:
                return
        counts = "; ".join(
            f"{self.constraints[i].text!r} rejected {n:,}" for i, n in rejected.items()
        )
        raise SpaceError(
            f"no config satisfies the constraints: of {draws:,} random ones {counts}; "
            f"loosen them or widen the domains"
        )


def _step(name: str, parameter: Parameter) -> _Step:
    domain = parameter.domain
    when = tuple((parent, frozenset(map(key, vs))) for parent, vs in parameter.when.items())
    return _Step(name, domain, when, domain.sample, domain.contains)


_MISSING = object()


def _active(when: _Conditions, config: Config) -> bool:
    for parent, allowed in when:
        value = config.get(parent, _MISSING)
        if value is _MISSING or key(value) not in allowed:
            return False
    return True


def _shown(parameter: Parameter) -> str:
    return " and ".join(
        f"{parent} is {' or '.join(map(repr, values))}" for parent, values in parameter.when.items()
    )


def _size(parameters: Iterator[Parameter] | Any) -> int | None:
    size = 1
    for parameter in parameters:
        if parameter.domain.size is None:
            return None
        size *= parameter.domain.size
    return size


def _read_constraints(
    texts: Sequence[str], parameters: Mapping[str, Parameter]
) -> tuple[Constraint, ...]:
    if isinstance(texts, str):
        raise SpaceError(f"constraints must be a list of expressions, got {texts!r}; add brackets")
    if len(texts) > MAX_COUNT:
        raise SpaceError(
            f"there are {len(texts):,} constraints; at most {MAX_COUNT} are allowed: join them by `and`, or "
            f"write the space so that fewer are needed"
        )
    constraints = tuple(Constraint(text) for text in texts)
    for constraint in constraints:
        for name in sorted(constraint.names - parameters.keys()):
            known = nearest(name, parameters).replace("/", ".")
            raise SpaceError(
                f"constraint {constraint.text!r} names {name.replace('/', '.')!r}, which is no "
                f"parameter; {known}"
            )
    return constraints
