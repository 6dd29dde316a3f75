"""Ray Tune's `param_space` and our `Space`, translated both ways.

Inside raysweep a config is flat, plain JSON, `{"net/width": 64}`; a Tune user sees it nested, with
his own keys and objects. What a choice offers may be anything; where it is not plain JSON, or not
distinct, our config holds a label for it. What only Tune can draw (`sample_from`, `randn`) is a
`Free` parameter of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.searchers.tune_reader import Reader
from raysweep.searchers.tune_tree import Members, TreeBuilder, render
from raysweep.searchers.tune_values import unpack
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free
from raysweep.trials.parameters import Parameter, fixed, free
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config


class TuneSpace:
    """One `param_space` and its translation; picklable with cloudpickle.

    Parameters are named by their keys, with "/" between a group and its members; characters that a
    name may not have become "_". Items of a list are named by index, parameters inside the i-th
    option of a choice `c` stand in the group `c_<i>` and exist only when it is chosen. Plain
    constants are `Fixed` parameters unless they are large.

    Args:
        param_space: what `tune.Tuner` takes: keys to domains, `grid_search`, constants, and
            mappings and lists of these.
        is_open: take keys and values that `param_space` does not foresee, as searchers with a
            space of their own suggest them; they stand in one more parameter, a mapping.

    Attributes:
        space: ours.
        grid: the flat names of what was a `grid_search`.
        only_drawn_by_tune: the flat names of what has no law that we know.
        original: `param_space`.

    Raises:
        SpaceError: for a range or choice without values; the message begins with its name.
    """

    def __init__(self, param_space: Mapping[str, Any], is_open: bool = False) -> None:
        if not isinstance(param_space, Mapping):
            raise SpaceError(
                f"param_space must map names to domains or values, got {param_space!r}"
            )
        self.original = param_space
        builder = TreeBuilder()
        self._root: Members = builder.root(param_space)
        parameters = builder.parameters
        self.grid, self._mappings = tuple(builder.grid), builder.mappings
        self.only_drawn_by_tune = tuple(
            name for name, parameter in parameters.items() if isinstance(parameter.domain, Free)
        )
        self._rest = self._add_rest(builder, is_open)
        self.space = Space(parameters)

    @classmethod
    def open(cls, param_space: Mapping[str, Any] | None = None) -> TuneSpace:
        """A space that also takes what `param_space` does not foresee."""
        return cls(param_space or {}, is_open=True)

    def nested(self, config: Config) -> dict[str, Any]:
        """The user's view of `config`: nested, with his keys, constants and objects.

        Every call gives a fresh copy, so a trial that changes its config changes only its own.
        """
        tree: dict[str, Any] = render(self._root, config)
        return _merged(tree, self._unforeseen(config))

    def varying(self, config: Config) -> dict[str, Any]:
        """As `nested` without constants, as a searcher suggests it to Tune; lists stay whole."""
        tree: dict[str, Any] = render(self._root, config, whole=False)
        return _merged(tree, self._unforeseen(config))

    def flat(self, values: Mapping[str, Any], stream: Stream | None = None) -> dict[str, Any]:
        """Our config for what the user or one of Tune's searchers gives.

        Args:
            values: nested, or with groups joined by "/", or both; constants may be left out.
            stream: draws what is missing; None: nothing may be missing.

        Raises:
            SpaceError: for a missing or unknown parameter, and for a value that cannot be written
                as JSON; the message begins with its name.
        """
        reader = Reader(self.space, stream, is_open=self._rest is not None)
        config, unforeseen = reader.read(self._root, values)
        if self._rest is not None:
            config[self._rest] = unforeseen
        return config

    def has_mappings(self, name: str) -> bool:
        """Whether a choice or grid offers the user a mapping."""
        return self._mappings.get(name, False)

    def _add_rest(self, builder: TreeBuilder, is_open: bool) -> str | None:
        parameters: dict[str, Parameter] = builder.parameters
        if not is_open:
            if not parameters:
                parameters[builder.name((), "config")] = fixed({})
            return None
        name = builder.name((), "config")
        parameters[name] = free()
        return name

    def _unforeseen(self, config: Config) -> dict[str, Any]:
        if self._rest is None:
            return {}
        rest: dict[str, Any] = unpack(config[self._rest])
        return rest


def _merged(tree: dict[str, Any], extra: Mapping[Any, Any]) -> dict[str, Any]:
    for name, value in extra.items():
        inner = tree.get(name)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            _merged(inner, value)
        else:
            tree[name] = value
    return tree
