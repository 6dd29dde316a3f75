"""What Ray Tune does without a `search_alg`: every grid combination, `num_samples` times over.

Values are drawn by Tune's own samplers in Tune's own order of the grid, but the n-th trial's from
a stream of its own: it does not depend on what was drawn before it, so nothing need be remembered.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search.sample import Categorical, Domain
from ray.tune.search.variant_generator import assign_value, generate_variants, parse_spec_vars

from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.global_chance import lent
from raysweep.trials.names import nearest
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_CACHED = 2
"""Samples whose variants are kept, where they can only be made all at once."""


class Variants:
    """The n-th trial gets the n-th variant of Tune's `BasicVariantGenerator`.

    A *sample* is one pass through the grid; without a grid it is one config. Random values are
    drawn anew for each combination of a pass, or once for each pass with `constant_grid_search`.
    What `sample_from` functions draw from the global generators is keyed too (`global_chance`).

    Args:
        tune_space: Tune's `param_space`, translated.
        num_samples: passes through the grid; -1: without end.
        seed: of every draw.
        points_to_evaluate: partial configs; each takes the place of one sample, in front, and a
            grid that it leaves open is still passed through.
        constant_grid_search: keep random values the same throughout a pass.

    Raises:
        SpecError: for a `num_samples` that is neither -1 nor 1 or more.
        SpaceError: for a point with a key that `param_space` lacks.
    """

    in_turn = True
    """It answers at once, and lends the global generators."""

    def __init__(
        self,
        tune_space: TuneSpace,
        num_samples: int = 1,
        *,
        seed: int = 0,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        constant_grid_search: bool = False,
    ) -> None:
        if num_samples != -1 and num_samples < 1:
            raise SpecError(f"num_samples is {num_samples}; it must be 1 or more, or -1: no end")
        points = points_to_evaluate or ()
        self._space, self._seed, self._constant = tune_space, seed, constant_grid_search
        self._presets = [overwritten(tune_space.original, point) for point in points]
        self._samples = math.inf if num_samples == -1 else max(num_samples, len(points))
        # whether a variant can be made without those before it in its sample
        self._direct = not constant_grid_search and not _grid_in_options(tune_space.original)
        self._listed: dict[int, list[dict[str, Any]]] = {}
        self._starts = [0]  # the first variant of each sample, as far as it is known

    @property
    def count(self) -> int | None:
        """How many variants there are; None: without end."""
        if self._samples == math.inf:
            return None
        first = len(self._presets)
        sizes = sum(self._size(sample) for sample in range(first))
        rest = int(self._samples) - first
        if self._direct:
            return sizes + (rest * self._size(first) if rest else 0)
        return sizes + sum(self._size(first + sample) for sample in range(rest))

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        """The variant whose number is the trial's; None behind the last one.

        Raises:
            SpaceError, ValueError: if a `sample_from` function fails or gives what no config holds.
        """
        place = self._locate(int(trial[1:]))
        return None if place is None else self._space.flat(self._variant(*place))

    def suggested(self, trial: TrialId, config: Config) -> None:
        """Nothing to remember: a trial's number says which variant it has."""

    def tell(self, report: Report) -> None:
        """Nothing is learnt from reports."""

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing is learnt from ends."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""

    def _locate(self, number: int) -> tuple[int, int] | None:
        """Which sample the `number`-th variant is of, and which place it has there."""
        while self._starts[-1] <= number:
            sample = len(self._starts) - 1
            if sample >= self._samples:
                return None
            if self._direct and sample >= len(self._presets):
                more, place = divmod(number - self._starts[-1], self._size(sample))
                return (sample + more, place) if sample + more < self._samples else None
            self._starts.append(self._starts[-1] + self._size(sample))
        sample = bisect_right(self._starts, number) - 1
        return sample, number - self._starts[sample]

    def _spec(self, sample: int) -> Mapping[str, Any]:
        return self._presets[sample] if sample < len(self._presets) else self._space.original

    def _size(self, sample: int) -> int:
        if not self._direct:
            return len(self._list(sample))
        return math.prod(len(values) for _, values in _grid(self._spec(sample)))

    def _variant(self, sample: int, number: int) -> dict[str, Any]:
        if not self._direct:
            return self._list(sample)[number]
        place = number
        resolved = overwritten(self._spec(sample), {})
        for path, values in _grid(resolved):  # the first one turns fastest
            place, index = divmod(place, len(values))
            assign_value(resolved, path, values[index])
        return self._resolve(resolved, Stream(self._seed, "variant", sample, number))[0]

    def _list(self, sample: int) -> list[dict[str, Any]]:
        if sample not in self._listed:
            while len(self._listed) >= _CACHED:
                self._listed.pop(next(iter(self._listed)))
            stream = Stream(self._seed, "sample", sample)
            self._listed[sample] = self._resolve(self._spec(sample), stream)
        return self._listed[sample]

    def _resolve(self, spec: Mapping[str, Any], stream: Stream) -> list[dict[str, Any]]:
        with lent(stream):
            variants = generate_variants(
                {"config": spec}, self._constant, random_state=stream.generator()
            )
            return [variant["config"] for _, variant in variants]


def overwritten(param_space: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """`param_space` with the values that `point` fixes; groups and lists are new, leaves shared.

    Raises:
        SpaceError: for a key that `param_space` lacks.
    """
    for key in point:
        if key not in param_space:
            raise SpaceError(
                f"points_to_evaluate: {key!r} is not in param_space; {nearest(key, param_space)}"
            )
    return {key: _overwritten(value, point.get(key, _OPEN)) for key, value in param_space.items()}


_OPEN = object()


def _overwritten(value: Any, given: Any) -> Any:
    if _is_group(value) and isinstance(given, Mapping):
        return overwritten(value, given)
    if _is_group(value) and given is _OPEN:
        return overwritten(value, {})
    if given is not _OPEN:
        return given
    if type(value) in (list, tuple):
        return type(value)(_overwritten(item, _OPEN) for item in value)
    return value


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and not ("grid_search" in value and len(value) == 1)


def _grid(spec: Mapping[str, Any]) -> list[tuple[Any, Categorical]]:
    return list(parse_spec_vars(dict(spec))[2])


def _grid_in_options(value: Any, *, inside: bool = False) -> bool:
    """Whether an option of a grid or a choice has a grid in it, so that samples differ in size."""
    if isinstance(value, dict) and "grid_search" in value and len(value) == 1:
        return inside or any(_grid_in_options(v, inside=True) for v in value["grid_search"])
    if isinstance(value, Categorical):
        return any(_grid_in_options(v, inside=True) for v in value.categories)
    if isinstance(value, Domain):
        return False
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list, tuple)):
        return any(_grid_in_options(part, inside=inside) for part in parts)
    return False
