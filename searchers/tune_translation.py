"""Between our configs and what a searcher hands to Tune: for a `param_space`, and for a `Space`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.domains import Fixed, Float
from raysweep.trials.errors import SpaceError
from raysweep.trials.names import nearest
from raysweep.trials.parameters import Parameter
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config
from raysweep.trials.values import key, plain


class Translation(Protocol):
    """What `TuneSpace` and `OwnSpace` have in common."""

    space: Space

    def varying(self, config: Config) -> dict[str, Any]:
        """`config` as a searcher suggests it to Tune."""
        ...

    def flat(self, values: Mapping[str, Any], stream: Stream | None = None) -> dict[str, Any]:
        """Our config for what a user wrote; what is missing is drawn."""
        ...


def translation(space: Mapping[str, Any] | Space) -> Translation:
    """The translation of a `param_space`, or of a space of ours.

    Raises:
        SpaceError: Tune could not merge what a searcher suggests, or only Tune can draw it.
    """
    if isinstance(space, Space):
        return OwnSpace(space)
    translated = TuneSpace(space)
    for name in translated.only_drawn_by_tune:
        raise SpaceError(
            f"{name}: there is no law for it that a searcher of raysweep knows; use uniform, "
            f"loguniform, a q variant, randint, lograndint, choice or grid_search"
        )
    for name in translated.grid:
        if translated.has_mappings(name):
            raise SpaceError(
                f"{name}: Tune cannot merge a mapping that a searcher picks from a grid_search; "
                f"write tune.choice([...]), which the grid searcher walks just as well"
            )
    return translated


class OwnSpace:
    """A space of ours, with its conditions and constraints, in Tune.

    Attributes:
        space: as given.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def varying(self, config: Config) -> dict[str, Any]:
        """`config` nested; fixed parameters are in it, for Tune does not know them."""
        return self.space.nested(config)

    def flat(self, values: Mapping[str, Any], stream: Stream | None = None) -> dict[str, Any]:
        """Our config for a nested, or "/"-joined, one; what is missing is fixed, or drawn.

        Raises:
            SpaceError: for an unknown parameter, or a missing one without a stream.
        """
        given = dict(_flattened(values, ""))
        for name in given:
            if name not in self.space.parameters:
                raise SpaceError(
                    f"{name}: no such parameter; {nearest(name, self.space.parameters)}"
                )
        config: dict[str, Any] = {}
        for name, parameter in self.space.parameters.items():
            if name in given:
                config[name] = _coerced(parameter, given[name])
            elif _active(parameter, config):
                config[name] = _default(name, parameter, stream)
        return config


def _flattened(values: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{group}{name}/")
        else:
            yield f"{group}{name}", value


def _coerced(parameter: Parameter, value: Any) -> Any:
    tidy = plain(value)
    whole = isinstance(tidy, int) and not isinstance(tidy, bool)
    return float(tidy) if whole and isinstance(parameter.domain, Float) else tidy


def _active(parameter: Parameter, config: Config) -> bool:
    return all(
        parent in config and key(config[parent]) in map(key, values)
        for parent, values in parameter.when.items()
    )


def _default(name: str, parameter: Parameter, stream: Stream | None) -> Any:
    domain = parameter.domain
    if isinstance(domain, Fixed):
        return domain.value
    if stream is None:
        raise SpaceError(f"{name}: it is missing; allowed is {domain.describe()}")
    return domain.sample(stream)
