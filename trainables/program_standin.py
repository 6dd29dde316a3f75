"""What a program gets as `wandb` where W&B is not installed: its config, and reports to its trial.

A copy of this file becomes the module `wandb` of the program; nothing is stored or drawn. Runs,
config and summary behave as W&B's do; what only has a meaning there (tables, images, artifacts,
`watch`) is accepted and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__version__ = "0.0.0+raysweep"


class Values:
    """A config or a summary: items and attributes are the same; some items may be locked."""

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_items", dict(items or {}))
        object.__setattr__(self, "_locked", frozenset(items or {}))

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._locked:  # as in W&B, what the sweep has set stays
            self._items[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_items"][name]
        except KeyError:
            raise AttributeError(f"{name!r} is not set") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def keys(self) -> Any:
        """The names that are set."""
        return self._items.keys()

    def items(self) -> Any:
        """Names and values."""
        return self._items.items()

    def get(self, name: str, default: Any = None) -> Any:
        """The value of `name`, or `default`."""
        return self._items.get(name, default)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as a dict of its own."""
        return dict(self._items)

    def update(self, given: Any = (), allow_val_change: bool | None = None) -> None:
        """Set what `given`, a mapping or a namespace of arguments, holds."""
        for name, value in _mapping(given).items():
            self[name] = value

    def setdefaults(self, given: Any) -> dict[str, Any]:
        """Set what is not set yet."""
        for name, value in _mapping(given).items():
            self._items.setdefault(name, value)
        return self.as_dict()


class Run:
    """A run; `init` makes it."""

    def __init__(self, link: Any, defaults: Any, **told: Any) -> None:
        self._link = link
        self.config = Values(link.begin())
        self.config.setdefaults(defaults)
        self.summary = Values()
        self.step = 0
        self.id = self.name = str(told.get("name") or told.get("id") or "run")
        self.project, self.entity = told.get("project"), told.get("entity")
        self.dir = "."
        self.disabled, self.offline = False, True

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,
    ) -> None:
        """Report metrics, by W&B's rules for `step` and `commit`."""
        if not isinstance(data, Mapping):
            raise TypeError("wandb.log must be passed a dictionary")
        self.summary.update(data)
        self._link.log(data, step, commit)
        if step is not None:
            self.step = max(self.step, step)
        if commit or (commit is None and step is None):
            self.step += 1

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run."""
        self._link.end(self.summary.as_dict())
        _set_run(None)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return Nothing()


class Nothing:
    """Accepts whatever is done with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Nothing:
        """Nothing happens."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Settings(Nothing):
    """Settings of W&B, none of which has a meaning here."""


_links: list[Any] = []
run: Run | None = None
config = Values()
summary = Values()


def join(link: Any) -> None:
    """Speak to the trial by `link`."""
    _links[:] = [link]


def init(project: str | None = None, *, config: Any = None, reinit: Any = None, **told: Any) -> Run:
    """Begin a run with the trial's config; `config` holds values for what the sweep does not set."""
    if run is not None and not reinit:
        return run
    begun = Run(_links[0], config or {}, project=project, **told)
    _set_run(begun)
    return begun


def log(data: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
    """Report metrics of the present run."""
    if run is None:
        raise RuntimeError("You must call wandb.init() before wandb.log()")
    run.log(data, *args, **kwargs)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the present run."""
    if run is not None:
        run.finish(exit_code)


def login(*args: Any, **kwargs: Any) -> bool:
    """There is nowhere to log in to."""
    return True


def agent(*args: Any, **kwargs: Any) -> None:
    """Refuse: the program is a trial of a sweep already."""
    raise RuntimeError("this program runs as a trial of raysweep, which starts the runs by itself")


sweep = agent


def _set_run(begun: Run | None) -> None:
    names = globals()
    names["run"] = begun
    if begun is not None:
        names["config"], names["summary"] = begun.config, begun.summary


def _mapping(given: Any) -> dict[str, Any]:
    if isinstance(given, (Mapping, Values)):
        return dict(given.items())
    return dict(vars(given)) if hasattr(given, "__dict__") else dict(given)


def __getattr__(name: str) -> Any:
    """Tables, images, artifacts and all else that W&B has: accepted, without effect."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing
