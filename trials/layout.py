"""How a space is laid out: nested groups to flat names and back, and the order of conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.trials.domains import Float
from raysweep.trials.errors import SpaceError
from raysweep.trials.names import is_name, nearest
from raysweep.trials.parameters import (
    DISTRIBUTIONS,
    Parameter,
    conditions,
    fixed,
    read_parameter,
    write_parameter,
)

_MAX_GROUPS = 8
_MAX_PARAMETERS = 2_000
_MAX_CHAIN = 100
_When = dict[str, tuple[Any, ...]]


def read_space(written: Mapping[str, Any]) -> dict[str, Parameter]:
    """Parameters by flat name from the nested mapping of a spec; conditions name flat names.

    Raises:
        SpaceError: with the place of whatever is no parameter.
    """
    if not isinstance(written, Mapping):
        raise SpaceError(f"a space maps parameters to distributions, got {written!r}")
    parameters: dict[str, Parameter] = {}
    _read_group((), written, {}, parameters)
    return {
        name: Parameter(parameter.domain, _absolute(name, parameter.when, parameters))
        for name, parameter in parameters.items()
    }


def write_space(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The nested mapping from which `read_space` makes `parameters` again."""
    written: dict[str, Any] = {}
    for name, parameter in parameters.items():
        *groups, last = name.split("/")
        place = written
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = write_parameter(parameter)
    return written


def order(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """`parameters` by name, each after those that its condition depends on.

    Raises:
        SpaceError: for no parameters, a condition on what does not exist or cannot be, or a circle.
    """
    if not parameters:
        raise SpaceError(
            "the space is empty; give it a parameter, e.g. lr: {loguniform: [1e-4, 1]}"
        )
    if len(parameters) > _MAX_PARAMETERS:
        raise SpaceError(
            f"the space has {len(parameters):,} parameters; at most {_MAX_PARAMETERS:,} are allowed"
        )
    for name in sorted(parameters):
        _check_when(name, parameters)
    ordered: dict[str, Parameter] = {}
    for name in sorted(parameters):
        _place(name, parameters, ordered, ())
    return ordered


def _read_group(
    path: tuple[str, ...], written: Mapping[str, Any], when: _When, into: dict[str, Parameter]
) -> None:
    for name, value in written.items():
        here = (*path, str(name))
        if not is_name(name):
            raise SpaceError(
                f"{'/'.join(here)}: {name!r} is no name for a parameter; use a letter, then "
                f"letters, digits, - and _ (up to 64), and a nested mapping for a group"
            )
        flat = "/".join(here)
        try:
            if isinstance(value, Mapping) and _is_group(value):
                _read_subgroup(here, value, when, into)
            else:
                parameter = _read_entry(value)
                into[flat] = Parameter(parameter.domain, _merge(when, dict(parameter.when)))
        except SpaceError as error:
            if str(error).startswith((f"{flat}:", f"{flat}/")):
                raise
            raise SpaceError(f"{flat}: {error}") from None


def _read_entry(value: Any) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Mapping):
        return read_parameter(value)
    if isinstance(value, (list, tuple)):
        raise SpaceError(
            f"got the list {list(value)!r}; write {{choice: [...]}} to choose from it, or "
            f"{{fixed: [...]}} for a value that is a list"
        )
    return fixed(value)


def _read_subgroup(
    path: tuple[str, ...], value: Mapping[str, Any], when: _When, into: dict[str, Parameter]
) -> None:
    if len(path) > _MAX_GROUPS:
        raise SpaceError(f"groups are nested more than {_MAX_GROUPS} deep; flatten them")
    members = {name: item for name, item in value.items() if name != "when"}
    if not members:
        raise SpaceError("the group is empty; give it a parameter or leave it out")
    _read_group(path, members, _merge(when, conditions(value.get("when"))), into)


def _is_group(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is a group rather than a distribution, perhaps a misspelt one.

    A distribution takes a list, which no member of a group may be.
    """
    if not DISTRIBUTIONS.keys().isdisjoint(value):
        return False
    if "distribution" in value or {"min", "max"} <= value.keys():
        raise SpaceError(f"got {dict(value)!r}; write a range as {{uniform: [min, max]}}")
    return not any(isinstance(item, (list, tuple)) for item in value.values())


def _merge(outer: _When, inner: _When) -> _When:
    for name in outer.keys() & inner.keys():
        raise SpaceError(f"when names {name!r} here and in the group around it; name it once")
    return {**outer, **inner}


def _absolute(name: str, when: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> _When:
    """`when` with flat names: a name is looked for in the parameter's own group, then outwards."""
    resolved: _When = {}
    for parent, values in when.items():
        groups = name.split("/")[:-1]
        places = ["/".join([*groups[:depth], parent]) for depth in range(len(groups), -1, -1)]
        found = [place for place in places if place in parameters]
        if len(found) > 1:
            raise SpaceError(
                f"{name}: when names {parent!r}, which may be {' or '.join(found)}; rename one"
            )
        resolved[found[0] if found else parent] = values
    return resolved


def _check_when(name: str, parameters: Mapping[str, Parameter]) -> None:
    for parent, values in parameters[name].when.items():
        if parent not in parameters:
            raise SpaceError(
                f"{name}: when names {parent!r}, which is no parameter; "
                f"{nearest(parent, [known for known in parameters if known != name])}"
            )
        domain = parameters[parent].domain
        if isinstance(domain, Float) and domain.step is None:
            raise SpaceError(
                f"{name}: when names {parent!r}, a continuous parameter that hardly ever has one "
                f"exact value; use a constraint, or make it a choice or randint"
            )
        for value in values:
            if not domain.contains(value):
                raise SpaceError(
                    f"{name}: when asks for {parent} to be {value!r}, which it cannot be; allowed "
                    f"is {domain.describe()}"
                )


def _place(
    name: str,
    parameters: Mapping[str, Parameter],
    ordered: dict[str, Parameter],
    trail: tuple[str, ...],
) -> None:
    if name in trail:
        circle = " -> ".join([*trail[trail.index(name) :], name])
        raise SpaceError(f"conditions go in a circle: {circle}; drop one `when` of these")
    if name in ordered:
        return
    if len(trail) > _MAX_CHAIN:
        raise SpaceError(f"{name}: a chain of over {_MAX_CHAIN} conditions leads here; shorten it")
    for parent in sorted(parameters[name].when):
        _place(parent, parameters, ordered, (*trail, name))
    ordered[name] = parameters[name]
