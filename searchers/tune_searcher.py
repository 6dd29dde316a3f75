"""The adapter that makes any searcher of ours a `ray.tune.search.Searcher`.

Tune's n-th trial is our n-th, with its own stream, so a search is the same whatever runs beside it.
Tune asks a searcher for one trial at a time unless `max_concurrent_trials` is set, and for as many
as `num_samples` says; -1 lets a grid end by itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ray.tune.search import UNDEFINED_METRIC_MODE, UNDEFINED_SEARCH_SPACE, Searcher

from raysweep.searchers.base import LATER, Proposal
from raysweep.searchers.base import Searcher as NativeSearcher
from raysweep.searchers.catalog import build_searcher, check_searcher
from raysweep.searchers.setting import Setting
from raysweep.searchers.tune_told import Told
from raysweep.searchers.tune_translation import Translation, translation
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id

_LOG = logging.getLogger(__name__)
_PATIENCE = 5
"""Failures in a row after which a searcher proposes nothing more."""


class TuneSearcher(Searcher):
    """One searcher of the catalogue as a `ray.tune.search.Searcher`; subclasses name it.

    Args:
        space: what to search: a `param_space` or a `raysweep.Space`; None: `tune.Tuner`'s
            `param_space`.
        metric: what is optimised; None: what `tune.TuneConfig` says.
        mode: "min" or "max".
        points_to_evaluate: configs to propose first, in this order; what they leave out is drawn.
        seed: of everything that is drawn.

    Attributes:
        seed: as given.
        points_to_evaluate: as given.

    Raises:
        SpaceError: for a space that this searcher cannot search.
    """

    name: ClassVar[str]
    """Its name in the catalogue."""
    needs_goal: ClassVar[bool] = False
    """Whether it learns from results, so that it cannot propose without a metric."""

    def __init__(
        self,
        space: Mapping[str, Any] | Space | None = None,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if not isinstance(metric, str | None) or not isinstance(mode, str | None):
            raise SpecError(f"one metric is optimised here, got {metric!r}, {mode!r}; name one")
        super().__init__(metric=metric, mode=mode)
        self.seed, self.points_to_evaluate = seed, list(points_to_evaluate or ())
        self._options = check_searcher(self.name, options)
        self._translation: Translation | None = None
        self._native: NativeSearcher | None = None
        self._waiting: dict[str, Any] | None = None
        self._told = Told()
        self._count = self._points_used = self._points_given = self._failures = 0
        self._logged: set[str] = set()
        if space:
            self._use(space)

    def native(self, space: Space, seed: int, goal: Goal | None = None) -> NativeSearcher:
        """The searcher behind this one, over `space`, for raysweep's own loop.

        Raises:
            SpaceError: for a space that it cannot search.
        """
        return build_searcher(self.name, self._options, Setting(space, seed, goal))

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Take Tune's metric, and its `param_space` if no space was given before.

        Returns:
            Whether the `param_space` is what is searched.

        Raises:
            SpaceError: for a space that this searcher cannot search.
        """
        self._metric, self._mode = metric or self._metric, mode or self._mode
        if self._translation is not None:
            return False
        self._use(config)
        return True

    def suggest(self, trial_id: str) -> Any:
        """The config of one more trial; None: later; "FINISHED": there is none left.

        Raises:
            RuntimeError: there is no space, or no metric where one is needed.
        """
        self._check_ready()
        if self._failures >= _PATIENCE:
            return str(Searcher.FINISHED)
        try:
            return self._suggest(trial_id)
        except Exception as error:
            self._count += 1  # another trial has another stream
            self._failures += 1
            self._log("no suggestion", error)
            return None

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Learn from one step of a trial; a step that is repeated after a retry teaches nothing."""
        self._guard(
            "a result", lambda: self._told.tell(self._searcher, trial_id, result, self._goal)
        )

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn that a trial has ended, and from its last result, which is told here alone."""

        def end() -> None:
            if result:
                self._told.tell(self._searcher, trial_id, result, self._goal)
            self._told.end(self._searcher, trial_id, failed=error, empty=not result)

        self._guard("an end", end)

    def on_pause(self, trial_id: str) -> None:
        """A trial yields its slot; it stays pending for the searcher."""

    def on_unpause(self, trial_id: str) -> None:
        """A trial has its slot back."""

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Leave the limit to Tune's own limiter."""
        return False

    def add_evaluated_point(
        self,
        parameters: Mapping[str, Any],
        value: float,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: Sequence[float] | None = None,
    ) -> None:
        """Learn from a config that was evaluated elsewhere.

        Raises:
            RuntimeError: there is no space, or no metric where one is needed.
            SpaceError: the config is not of the space.
        """
        self._check_ready()
        assert self._translation is not None
        config = self._translation.flat(parameters)
        self._translation.space.check(config)
        elsewhere = f"given{self._points_given:06d}"
        self._points_given += 1
        self._searcher.suggested(elsewhere, config)
        self._told.begin(elsewhere, elsewhere)
        for step, number in enumerate([*(intermediate_values or ()), value], start=1):
            result = {"training_iteration": step, self._goal.metric: number}
            self._told.tell(self._searcher, elsewhere, result, self._goal)
        self._told.end(self._searcher, elsewhere, failed=error, empty=pruned)

    def get_state(self) -> dict[str, Any]:
        """Everything that a restored search needs, as plain JSON data."""
        if self._waiting is not None:
            return self._waiting
        return {
            "searcher": self.name,
            "seed": self.seed,
            "count": self._count,
            "points_used": self._points_used,
            "points_given": self._points_given,
            "told": self._told.state(),
            "native": self._native.state() if self._native is not None else None,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` gave; before the space is known it waits for that.

        Raises:
            SpecError: it is another searcher's.
        """
        if state.get("searcher") != self.name:
            raise SpecError(
                f"the saved state is of searcher {state.get('searcher')!r}, this is {self.name!r}; "
                f"restore it into the searcher that saved it"
            )
        self._waiting = state
        self._take_waiting()

    def save(self, checkpoint_path: str) -> None:
        """Write `get_state` as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self.get_state()))

    def restore(self, checkpoint_path: str) -> None:
        """Take back what `save` wrote.

        Raises:
            SpecError: the file is damaged, or another searcher's.
        """
        try:
            state = json.loads(Path(checkpoint_path).read_text())
        except (ValueError, UnicodeDecodeError) as error:
            raise SpecError(f"{checkpoint_path} holds no saved searcher: {error}") from None
        self.set_state(state)

    @property
    def _goal(self) -> Goal:
        return Goal(((self._metric or "_metric", "max" if self._mode == "max" else "min"),))

    @property
    def _searcher(self) -> NativeSearcher:
        """The native searcher, made when it is first needed: by then the metric is known."""
        if self._native is None:
            assert self._translation is not None, "only used once the space is known"
            self._native = self.native(self._translation.space, self.seed, self._goal)
        return self._native

    def _use(self, space: Mapping[str, Any] | Space) -> None:
        translated = translation(space)
        self.native(translated.space, self.seed)  # what it cannot search is told before any trial
        self._translation = translated
        self._take_waiting()

    def _take_waiting(self) -> None:
        state = self._waiting
        if state is None or self._translation is None:
            return
        self._waiting = None
        self.seed, self._count = state["seed"], state["count"]
        self._points_used, self._points_given = state["points_used"], state["points_given"]
        self._told.load(state["told"])
        self._native = None
        if state["native"] is not None:
            self._searcher.load(state["native"])

    def _check_ready(self) -> None:
        kind = type(self).__name__
        if self._translation is None:
            raise RuntimeError(UNDEFINED_SEARCH_SPACE.format(cls=kind, space="space"))
        if self.needs_goal and not (self._metric and self._mode):
            raise RuntimeError(
                UNDEFINED_METRIC_MODE.format(cls=kind, metric=self._metric, mode=self._mode)
            )

    def _suggest(self, theirs: str) -> dict[str, Any] | str | None:
        assert self._translation is not None
        ours = trial_id(self._count)
        stream = Stream(self.seed, ours, "ask")
        config = self._next_point(stream) or self._searcher.ask(ours, stream)
        if config is None:
            return str(Searcher.FINISHED)
        if config is LATER:
            return None
        if isinstance(config, Proposal):
            config = config.config
        suggestion = self._translation.varying(config)
        self._searcher.suggested(ours, config)
        self._told.begin(theirs, ours)
        self._count += 1
        self._failures = 0
        return suggestion

    def _next_point(self, stream: Stream) -> dict[str, Any] | None:
        """The next of the user's own points that is of the space; None when none is left."""
        assert self._translation is not None
        while self._points_used < len(self.points_to_evaluate):
            point = self.points_to_evaluate[self._points_used]
            self._points_used += 1
            try:
                config = self._translation.flat(point, stream)
                self._translation.space.check(config)
            except SpaceError as error:
                _LOG.warning("points_to_evaluate: %r is left out: %s", point, error)
                continue
            return config
        return None

    def _guard(self, what: str, act: Callable[[], None]) -> None:
        """Tune's loop goes on whatever the searcher makes of one trial."""
        if self._translation is None:
            return
        try:
            act()
        except Exception as error:
            self._log(f"{what} was not learnt from", error)

    def _log(self, what: str, error: Exception) -> None:
        if what not in self._logged:
            self._logged.add(what)
            _LOG.exception("searcher %s: %s (said once): %s", self.name, what, error)
