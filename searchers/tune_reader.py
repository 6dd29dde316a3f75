"""Reads what a user or one of Tune's searchers calls a config into our flat one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raysweep.searchers.tune_domains import is_domain
from raysweep.searchers.tune_tree import (
    Constant,
    Drawn,
    Items,
    Members,
    Node,
    Options,
    render,
)
from raysweep.searchers.tune_values import pack, same
from raysweep.trials.domains import Domain, Fixed, Float, Int
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.values import key, plain

_MISSING = object()
_Place = tuple[Any, ...]


class Reader:
    """Reads one config.

    Args:
        space: ours.
        stream: draws what is missing; None: nothing may be missing.
        is_open: whether keys and values that the tree does not foresee are collected, not refused.
    """

    def __init__(self, space: Space, stream: Stream | None, is_open: bool) -> None:
        self._space, self._stream, self._is_open = space, stream, is_open
        self._config: dict[str, Any] = {}
        self._unforeseen: dict[Any, Any] = {}

    def read(self, root: Node, values: Any) -> tuple[dict[str, Any], Any]:
        """Our config, and what was unforeseen as plain JSON.

        Raises:
            SpaceError: as `TuneSpace.flat`.
        """
        self._walk(root, values, ())
        self._add_fixed()
        return self._config, pack(self._unforeseen)

    def _walk(self, node: Node, given: Any, place: _Place) -> None:
        if is_domain(given):  # Tune's record of a choice between spaces, which names the rest too
            given = _MISSING
        if isinstance(node, Members):
            self._members(node, given, place)
        elif isinstance(node, Items):
            self._items(node, given, place)
        elif isinstance(node, Options):
            self._options(node, given, place)
        elif isinstance(node, Drawn):
            self._drawn(node, given, place)
        elif given is not _MISSING:
            self._constant(node.value, given, place)

    def _members(self, node: Members, given: Any, place: _Place) -> None:
        if given is _MISSING:
            given = {}
        if not isinstance(given, Mapping):
            raise SpaceError(f"{_shown(place)}: got {given!r}; give a mapping of its members")
        for member, inner in node.nodes.items():
            self._walk(inner, _child(given, member), (*place, member))
        for member in given:
            if not any(_names(member, known) for known in node.nodes):
                self._stray((*place, member), given[member], node)

    def _items(self, node: Items, given: Any, place: _Place) -> None:
        if isinstance(given, (list, tuple, np.ndarray)):
            given = dict(enumerate(given))
        known = {} if given is _MISSING else given
        length = len(node.nodes)
        if not isinstance(known, Mapping) or not all(
            any(_names(name, index) for index in range(length)) for name in known
        ):
            raise SpaceError(f"{_shown(place)}: got {given!r}; give a list of {length} items")
        for index, inner in enumerate(node.nodes):
            strict = Reader(self._space, self._stream, is_open=False)  # no item can be added later
            strict._walk(inner, _child(known, index), (*place, index))
            self._config.update(strict._config)

    def _options(self, node: Options, given: Any, place: _Place) -> None:
        if given is _MISSING:
            index = node.at(self._draw(node.name, place))
        else:
            found = self._find(node, given, place)
            if found is None:
                self._misfit(node.name, given, place)
                return
            index = found
        self._config[node.name] = node.values[index]
        inner = node.nodes[index]
        if not isinstance(inner, Constant):
            self._walk(inner, given, place)

    def _find(self, node: Options, given: Any, place: _Place) -> int | None:
        index = node.find(given)
        if index is not None:
            return index
        written = [index for index, value in enumerate(node.values) if same(value, given)]
        fitting = {
            index: self._likeness(inner, given, place)
            for index, inner in enumerate(node.nodes)
            if not isinstance(inner, Constant)
        }
        best = max(fitting, key=fitting.__getitem__, default=None)
        if best is not None and fitting[best]:
            return best
        return written[0] if written else None

    def _likeness(self, node: Node, given: Any, place: _Place) -> int:
        """Whether `given` is what the node would give (2), could come from it (1), or neither."""
        trial = Reader(self._space, self._stream, is_open=False)
        try:
            trial._walk(node, given, place)
        except SpaceError:
            return 0
        return 2 if same(render(node, trial._config), given) else 1

    def _drawn(self, node: Drawn, given: Any, place: _Place) -> None:
        if given is _MISSING:
            self._config[node.name] = self._draw(node.name, place)
            return
        try:
            value = _coerced(node.domain, given)
        except SpaceError as error:
            raise SpaceError(f"{_shown(place)}: {error}") from None
        if node.domain.contains(value):
            self._config[node.name] = value
        else:
            self._misfit(node.name, given, place)

    def _constant(self, value: Any, given: Any, place: _Place) -> None:
        if isinstance(value, dict) and isinstance(given, Mapping):
            for member in given:
                known = next((name for name in value if _names(member, name)), _MISSING)
                if known is _MISSING:
                    self._stray((*place, member), given[member], None)
                else:
                    self._constant(value[known], _child(given, known), (*place, known))
            return
        if not _may_differ(value, given):
            return
        if not self._is_open:
            raise SpaceError(
                f"{_shown(place)}: got {given!r}, but param_space fixes it to {value!r}; give it a "
                f"distribution there, or leave it out here"
            )
        self._collect(place, given)

    def _draw(self, name: str, place: _Place) -> Any:
        domain = self._space.parameters[name].domain
        if self._stream is None:
            raise SpaceError(f"{_shown(place)}: it is missing; allowed is {domain.describe()}")
        try:
            return domain.sample(self._stream)
        except SpaceError as error:
            raise SpaceError(f"{_shown(place)}: {error}") from None

    def _misfit(self, name: str, given: Any, place: _Place) -> None:
        domain = self._space.parameters[name].domain
        if not self._is_open:
            raise SpaceError(f"{_shown(place)}: got {given!r}; allowed is {domain.describe()}")
        self._config[name] = _nearest_in(domain, given)
        self._collect(place, given)

    def _stray(self, place: _Place, given: Any, node: Members | None) -> None:
        if not self._is_open:
            known = [str(name) for name in node.nodes] if node else []
            raise SpaceError(f"{_shown(place)}: no such parameter; {nearest(place[-1], known)}")
        self._collect(place, given)

    def _collect(self, place: _Place, given: Any) -> None:
        group = self._unforeseen
        for part in place[:-1]:
            group = group.setdefault(part, {})
        group[place[-1]] = given

    def _add_fixed(self) -> None:
        """Constants of the groups and options that take part."""
        for name, parameter in self._space.parameters.items():
            domain = parameter.domain
            if isinstance(domain, Fixed) and all(
                parent in self._config and key(self._config[parent]) in map(key, values)
                for parent, values in parameter.when.items()
            ):
                self._config.setdefault(name, domain.value)


def _child(given: Mapping[Any, Any], member: Any) -> Any:
    """What `given` says about `member`, by itself or joined with what is below it by "/"."""
    exact = given.get(member, given.get(str(member), _MISSING))
    start = f"{member}/"
    below = {
        name[len(start) :]: value
        for name, value in given.items()
        if isinstance(name, str) and name.startswith(start)
    }
    if not below:
        return exact
    if not isinstance(exact, Mapping):
        return below
    return {name: value for name, value in exact.items() if str(name) not in below} | below


def _names(given: Any, member: Any) -> bool:
    if given == member or given == str(member):
        return True
    return isinstance(given, str) and given.startswith(f"{member}/")


def _coerced(domain: Domain, given: Any) -> Any:
    if isinstance(domain, Free):
        return pack(given)
    if isinstance(given, np.generic):
        given = given.item()
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return given
    if isinstance(domain, Float):
        return float(given)
    if isinstance(domain, Int) and float(given).is_integer():
        return int(given)
    return given


def _nearest_in(domain: Domain, given: Any) -> Any:
    """A value of the domain near `given`, for the table; the trial gets `given` itself."""
    if isinstance(domain, Free):
        return {"float64": 0.0, "int64": 0}.get(domain.column)
    if isinstance(given, (float, int)) and given == given:
        if isinstance(domain, Float):
            return domain.decode(domain.encode(min(domain.high, max(domain.low, float(given)))))
        if isinstance(domain, Int):
            inside = min(float(domain.high), max(float(domain.low), float(given)))
            return domain.decode(domain.encode(round(inside)))
    return domain.decode(0.0)


def _may_differ(value: Any, given: Any) -> bool:
    """Whether `given` is no copy of the constant `value`; two objects count as copies."""
    try:
        tidy = plain(given)
    except SpaceError:
        return False
    try:
        return bool(key(tidy) != key(value))
    except SpaceError:
        return True


def _shown(place: _Place) -> str:
    return "/".join(map(str, place)) or "the config"
