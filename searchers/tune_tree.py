"""Ray Tune's `param_space` as a tree whose leaves are our parameters, constants apart.

The tree has the shape of the user's config. A leaf knows its flat name in our config, and a choice
keeps the user's own objects, so that he gets back what he put in.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raysweep.searchers.tune_domains import choice_options, convert, grid_options, is_domain, varies
from raysweep.searchers.tune_values import labels, same, unpack
from raysweep.trials.domains import Choice, Domain, Fixed
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.names import is_name
from raysweep.trials.parameters import DISTRIBUTIONS, Parameter
from raysweep.trials.trial import Config
from raysweep.trials.values import key, plain

_When = dict[str, tuple[Any, ...]]
_RESERVED = frozenset({*DISTRIBUTIONS, "when", "distribution", "min", "max"})
"""What a spec would not take for a name inside a group."""
_MOST_CONSTANTS = 64
_LONGEST_CONSTANT = 1000
_DEEPEST = 7


@dataclass(frozen=True)
class Constant:
    """What never varies, as the user gave it."""

    value: Any


@dataclass(frozen=True)
class Drawn:
    """One parameter that is no choice."""

    name: str
    domain: Domain


@dataclass(frozen=True)
class Options:
    """A choice or grid: `values[i]` is how our config writes option i, `nodes[i]` what it stands for."""

    name: str
    values: tuple[Any, ...]
    nodes: tuple[Node, ...]

    def at(self, value: Any) -> int:
        """The index of the option that our config writes as `value`.

        Raises:
            SpaceError: if there is none.
        """
        for index, written in enumerate(self.values):
            if key(written) == key(value):
                return index
        raise SpaceError(f"{self.name}: got {value!r}; allowed are {list(self.values)}")

    def find(self, value: Any) -> int | None:
        """The index of the constant option that the user, or Tune, gives as `value`."""
        for index, node in enumerate(self.nodes):
            if isinstance(node, Constant) and same(node.value, value):
                return index
        return None


@dataclass(frozen=True)
class Members:
    """A mapping in which something varies."""

    nodes: Mapping[Any, Node]


@dataclass(frozen=True)
class Items:
    """A list or tuple in which something varies."""

    nodes: tuple[Node, ...]
    is_tuple: bool


Node = Constant | Drawn | Options | Members | Items


class TreeBuilder:
    """Grows the tree of one param_space.

    Attributes:
        parameters: ours by flat name, constants that a table can show among them.
        grid: the names of what was a `grid_search`.
        mappings: name of a choice or grid to whether an option of it is a mapping.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.grid: list[str] = []
        self.mappings: dict[str, bool] = {}
        self._taken: dict[tuple[str, ...], set[str]] = {}

    def root(self, param_space: Mapping[Any, Any]) -> Members:
        """The tree of the whole `param_space`.

        Raises:
            SpaceError: for a range or choice without values, named by its place.
        """
        return self._members((), param_space, {})

    def name(self, group: tuple[str, ...], wanted: Any) -> str:
        """A name for `wanted` that nothing in `group` has yet, as near to it as our grammar allows."""
        part = re.sub(r"[^A-Za-z0-9_-]", "_", str(wanted))[:60]
        if not is_name(part):
            part = f"_{part}"
        if group and part in _RESERVED:
            part += "_"
        taken = self._taken.setdefault(group, set())
        free, count = part, 1
        while free in taken:
            count += 1
            free = f"{part}_{count}"
        taken.add(free)
        return free

    def _members(self, group: tuple[str, ...], members: Mapping[Any, Any], when: _When) -> Members:
        parts = {member: self.name(group, member) for member in members}
        return Members(
            {
                member: self._node((*group, parts[member]), value, when)
                for member, value in members.items()
            }
        )

    def _node(self, place: tuple[str, ...], value: Any, when: _When) -> Node:
        flat = "/".join(place)
        with _place_named(flat):
            options = choice_options(value)
        if options is not None:
            return self._options(place, value, options, when)
        if is_domain(value):
            with _place_named(flat):
                domain = convert(value)
            self.parameters[flat] = Parameter(domain, when)
            return Drawn(flat, domain)
        if not varies(value):
            self._show(place, value, when)
            return Constant(value)
        if isinstance(value, dict):
            return self._members(place, value, when)
        nodes = [
            self._node((*place, self.name(place, index)), item, when)
            for index, item in enumerate(value)
        ]
        return Items(tuple(nodes), isinstance(value, tuple))

    def _options(
        self, place: tuple[str, ...], value: Any, options: Sequence[Any], when: _When
    ) -> Options:
        flat = "/".join(place)
        written = _written(options)
        with _place_named(flat):
            self.parameters[flat] = Parameter(Choice(written), when)
        self.mappings[flat] = any(isinstance(option, dict) for option in options)
        if grid_options(value) is not None:
            self.grid.append(flat)
        nodes: list[Node] = []
        for index, option in enumerate(options):
            if not varies(option):
                nodes.append(Constant(option))
                continue
            *group, last = place
            below = (*group, self.name(tuple(group), f"{last}_{index}"))
            nodes.append(self._node(below, option, {flat: (written[index],)}))
        return Options(flat, tuple(written), tuple(nodes))

    def _show(self, place: tuple[str, ...], value: Any, when: _When) -> None:
        """Let tables show a constant, a mapping of them member by member, unless it is large."""
        shown: dict[str, Parameter] = {}
        self._fixed(place, value, when, shown)
        if len(shown) <= _MOST_CONSTANTS:
            self.parameters.update(shown)

    def _fixed(
        self, place: tuple[str, ...], value: Any, when: _When, into: dict[str, Parameter]
    ) -> None:
        if isinstance(value, dict) and value and len(place) < _DEEPEST:
            for member, item in value.items():
                self._fixed((*place, self.name(place, member)), item, when, into)
            return
        try:
            tidy = plain(value)
        except SpaceError:
            return
        if len(json.dumps(tidy)) <= _LONGEST_CONSTANT:
            into["/".join(place)] = Parameter(Fixed(tidy), when)


def render(node: Node, config: Config, whole: bool = True) -> Any:
    """What the user gets for `config`; without `whole` a mapping keeps only what varies in it."""
    if isinstance(node, Constant):
        return _copy(node.value)
    if isinstance(node, Drawn):
        value = config[node.name]
        return unpack(value) if isinstance(node.domain, Free) else value
    if isinstance(node, Options):
        return render(node.nodes[node.at(config[node.name])], config)
    if isinstance(node, Items):
        items = [render(item, config) for item in node.nodes]
        return tuple(items) if node.is_tuple else items
    return {
        member: render(item, config, whole)
        for member, item in node.nodes.items()
        if whole or not isinstance(item, Constant)
    }


@contextmanager
def _place_named(flat: str) -> Iterator[None]:
    """Let errors begin with the parameter's name."""
    try:
        yield
    except (SpaceError, TypeError) as error:
        raise SpaceError(f"{flat}: {error}") from None


def _written(options: Sequence[Any]) -> list[Any]:
    """How our config writes the options: as they are, or all by labels."""
    if not any(map(varies, options)):
        try:
            tidy = [plain(option) for option in options]
            if len({key(option) for option in tidy}) == len(tidy):
                return tidy
        except SpaceError:
            pass
    return list(labels([_sketch(option) for option in options]))


def _sketch(option: Any) -> Any:
    """`option` with dots for what varies in it, so that its label tells what is constant."""
    if is_domain(option):
        return "..."
    if isinstance(option, dict):
        return {member: _sketch(item) for member, item in option.items()}
    if varies(option):
        return [_sketch(item) for item in option]
    return option


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # any object may refuse to be copied; then trials share it
        return value
