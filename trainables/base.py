"""What a trial runs: the `Trainable` class, and the functions that count as one.

| form | a step is | it can save when |
|---|---|---|
| `class T(Trainable)` | a call of `step` | it overrides `save` |
| `def train(config): yield {...}` | what is yielded | never |
| `def train(config, trial): yield {...}` | what is yielded | it called `trial.on_save(fn)` |
| `def train(config): return {...}` | the whole call | never |

What a function returns, if it returns anything, is its last report. After its end, what it
registered with `trial.on_save` is called once more, for the last checkpoint.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raysweep.trials.errors import ReportError, TrainableError


class Trainable:
    """A model in training, one step at a time.

    Attributes:
        trial_id: whose training this is.
        seed: an integer that belongs to the trial; seed what needs chance with it.
        attempt: how often the trial was begun before.
        step_number: steps done so far, counted over all attempts.
        gpu: what this attempt holds, a share of one GPU or a number of them; the next one may hold
            another share, and train with larger batches.
        cpu: cores that it holds.

    These are set before `setup` is called. The constructor takes no arguments. Two more are
    for adapters of other libraries' training code:

    Attributes:
        flat_config: whether `setup` gets the config by flat names, `{"net/width": 64}`.
        has_checkpoint: set by `step`: a checkpoint of this very step is at hand and would be lost
            with the next one, so `save` is called at once.
    """

    trial_id: str = ""
    seed: int = 0
    attempt: int = 0
    step_number: int = 0
    gpu: float = 0.0
    cpu: float = 1.0
    flat_config: bool = False
    has_checkpoint: bool = False

    def setup(self, config: dict[str, Any]) -> None:
        """Build the model and the data from `config` (nested as the space is)."""

    def step(self) -> Mapping[str, Any] | None:
        """Train for one step and report its metrics; None when nothing is left to train."""
        raise NotImplementedError(f"{type(self).__name__} must define step()")

    def save(self, folder: Path) -> None:
        """Write all that `load` needs into `folder`, which exists and is empty."""
        raise NotImplementedError(f"{type(self).__name__} does not define save()")

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote; called after `setup`."""
        raise NotImplementedError(f"{type(self).__name__} does not define load()")

    def cleanup(self) -> None:
        """Let go of what the garbage collector does not free; called once, however it ended."""

    @property
    def can_save(self) -> bool:
        """Whether `save` works: by default, whether it is overridden."""
        return type(self).save is not Trainable.save


class TrialContext:
    """What a training function may know of its trial.

    Attributes:
        id: the trial's id.
        seed: an integer that belongs to the trial.
        attempt: how often the trial was begun before.
        step: steps done before this attempt; start the loop there.
        checkpoint: the folder to restore from, None when there is nothing to restore.
        gpu: what this attempt holds, a share of one GPU or a number of them.
        cpu: cores that it holds.
    """

    __slots__ = ("_save", "attempt", "checkpoint", "cpu", "gpu", "id", "seed", "step")

    def __init__(
        self,
        id: str,
        seed: int,
        attempt: int,
        step: int,
        checkpoint: Path | None,
        gpu: float = 0.0,
        cpu: float = 1.0,
    ):
        self.id = id
        self.seed = seed
        self.attempt = attempt
        self.step = step
        self.checkpoint = checkpoint
        self.gpu, self.cpu = gpu, cpu
        self._save: Callable[[Path], None] | None = None

    def on_save(self, fn: Callable[[Path], None]) -> None:
        """Register how to save.

        `fn(folder)` is called while the function waits at a yield, and once after it has ended: so
        it should still find there what it saves, and the state that was reported last.
        """
        self._save = fn


class GeneratorTrainable(Trainable):
    """A training function behind the interface of `Trainable`.

    Args:
        fn: the function, or generator function.
        wants_trial: whether it takes a `TrialContext` beside the config.
    """

    def __init__(self, fn: Callable[..., Any], wants_trial: bool):
        self._fn = fn
        self._wants_trial = wants_trial
        self._config: dict[str, Any] = {}
        self._context = TrialContext("", 0, 0, 0, None)
        self._rows: Iterator[Any] | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Remember the config; the function itself begins with the first step."""
        self._config = config
        self._context = TrialContext(
            self.trial_id, self.seed, self.attempt, 0, None, self.gpu, self.cpu
        )

    def load(self, folder: Path) -> None:
        """Let the function begin at the restored step, with the checkpoint at hand."""
        self._context.checkpoint = folder
        self._context.step = self.step_number

    def step(self) -> Mapping[str, Any] | None:
        """Run the function up to its next yield."""
        if self._rows is None:
            return self._begin()
        try:
            row = next(self._rows)
        except StopIteration as end:
            self._rows = iter(())
            return self._returned(end.value)
        return self._yielded(row)

    def save(self, folder: Path) -> None:
        """Call what the function registered with `trial.on_save`."""
        if self._context._save is not None:
            self._context._save(folder)

    @property
    def can_save(self) -> bool:
        """Whether the function has begun and registered how to save."""
        return self._context._save is not None and self._rows is not None

    def cleanup(self) -> None:
        """Close the generator, so that its `finally` and `with` blocks run."""
        rows, self._rows = self._rows, iter(())
        self._context._save = None
        if rows is not None and inspect.isgenerator(rows):
            rows.close()

    def _begin(self) -> Mapping[str, Any] | None:
        arguments = (self._config, self._context) if self._wants_trial else (self._config,)
        made = self._fn(*arguments)
        if isinstance(made, Iterator):
            self._rows = made
            return self.step()
        self._rows = iter(())
        return self._returned(made)

    @staticmethod
    def _yielded(row: Any) -> Mapping[str, Any]:
        if row is None:
            raise ReportError(
                "the training function yielded nothing; yield a dict of metrics, for example "
                "`yield {'loss': loss}`, once per step"
            )
        return row  # type: ignore[no-any-return]  # `values.clean` checks what users yield

    @staticmethod
    def _returned(value: Any) -> Mapping[str, Any] | None:
        return value  # type: ignore[no-any-return]  # `values.clean` checks what users return


Factory = Callable[[], Trainable]
"""Makes a fresh `Trainable`, not yet set up."""


class ReadyFactory:
    """A factory that is made in the driver and pickled to the trials, as adapters need it."""

    def __call__(self) -> Trainable:
        """A new `Trainable`, not yet set up."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__()")


def as_factory(target: Any) -> Factory:
    """How to make a `Trainable` of what the user wrote: a subclass or a function.

    A `ReadyFactory` is one already.

    Raises:
        TrainableError: it is neither, or takes arguments that we do not have.
    """
    if isinstance(target, ReadyFactory):
        return target
    if inspect.isclass(target):
        return _from_class(target)
    if not callable(target):
        raise TrainableError(
            f"the trainable is {_describe(target)}; it must be a function `train(config)` that "
            "yields a dict per step, or a subclass of raysweep.Trainable"
        )
    wants_trial = _wants_trial(target)
    return lambda: GeneratorTrainable(target, wants_trial)


def _from_class(cls: type[Any]) -> Factory:
    if not issubclass(cls, Trainable):
        raise TrainableError(
            f"class {cls.__name__} is not a subclass of raysweep.Trainable; write "
            f"`class {cls.__name__}(raysweep.Trainable)` with setup(config) and step()"
        )
    if cls.step is Trainable.step:
        raise TrainableError(
            f"class {cls.__name__} does not define step(); it must train for one step and "
            "return a dict of metrics, or None when nothing is left to train"
        )
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise TrainableError(
            f"class {cls.__name__} cannot be made without arguments ({error}); "
            "take the config in setup(config) instead"
        ) from error
    return cls


def _wants_trial(fn: Callable[..., Any]) -> bool:
    """Whether to call `fn(config, trial)` rather than `fn(config)`."""
    name = getattr(fn, "__name__", type(fn).__name__)
    try:
        signature = inspect.signature(fn)
    except ValueError:
        return False  # a builtin that does not tell; the first call will
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise TrainableError(f"{name} is async; a trainable is a plain function or generator")
    positional = [
        p
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    second = positional[1] if len(positional) > 1 else None
    wants = second is not None and (second.default is second.empty or second.name == "trial")
    try:
        signature.bind(*((None, None) if wants else (None,)))
    except TypeError as error:
        raise TrainableError(
            f"{name}{signature} cannot be called as {name}(config) or {name}(config, trial): "
            f"{error}; give the others defaults, or read them from config"
        ) from error
    return wants


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
