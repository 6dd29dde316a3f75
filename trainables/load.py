"""Finds the training code: `module:name` beside a folder, or a function sent from Python."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from raysweep.trainables.base import Factory, as_factory
from raysweep.trainables.folder_imports import LOCAL, is_installed
from raysweep.trials.errors import TrainableError

_NEEDED = {
    "raysweep", "ray", "cloudpickle", "numpy", "pandas", "pyarrow", "pydantic", "rich", "scipy",
    "torch", "typer", "yaml",
}  # fmt: skip
"""Modules that this package or Ray may import at any time."""


class Code(Protocol):
    """Where the training code is; small enough to send to each process that runs trials."""

    def load(self) -> Factory:
        """Import it; a `TrainableError` says what is wrong with it."""
        ...


class ModuleCode(NamedTuple):
    """Training code in a file: `target` is `module:name`, `folder` where its module stands."""

    target: str
    folder: str

    def load(self) -> Factory:
        """Import the module and make a factory of what `name` stands for."""
        return as_factory(load_target(self.target, Path(self.folder)))

    def check(self) -> None:
        """See whether it can be loaded, in a process that does not run it: the driver.

        Raises:
            TrainableError: it cannot.
        """
        try:
            self.load()
        finally:
            LOCAL.let_go()


class PickledCode(NamedTuple):
    """A function or class sent from a Python session; made by `check_picklable`.

    `folders` are where that session finds modules of its own.
    """

    blob: bytes
    folders: tuple[str, ...] = ()

    def load(self) -> Factory:
        """Take the function out of its pickle."""
        import cloudpickle

        for folder in self.folders:
            LOCAL.add(folder)

        return as_factory(cloudpickle.loads(self.blob))


def check_picklable(target: Callable[..., Any] | type[Any]) -> PickledCode:
    """Make sure that a function or class has a shape that we can run and can travel.

    Raises:
        TrainableError: it has no such shape, or refers to what cannot be pickled.
    """
    import cloudpickle

    as_factory(target)
    name = getattr(target, "__name__", type(target).__name__)
    try:
        return PickledCode(cloudpickle.dumps(target), session_folders())
    except Exception as error:  # pickling runs arbitrary __reduce__ methods
        raise TrainableError(
            f"{name} cannot be sent to another process: {type(error).__name__}: {error}; it refers "
            "to an object that cannot be pickled (a lock, an open file, a connection): make that "
            "inside the function"
        ) from error


def session_folders() -> tuple[str, ...]:
    """The folder of the script and the working directory, where they are on this process's path."""
    script = Path(sys.argv[0]).resolve().parent if sys.argv and sys.argv[0] else None
    folders = [str(script)] if script is not None and str(script) in sys.path else []
    return tuple(dict.fromkeys([*folders, str(Path.cwd())]))


def load_target(target: str, folder: Path) -> Any:
    """What `module:name` stands for, its module imported from `folder` or from the environment.

    From now on what stands in the folder finds its neighbours first, and is found last by others
    (`folder_imports`).

    Raises:
        TrainableError: the module cannot be found or raises, or has no such name.
    """
    module_name, _, name = target.partition(":")
    if not name or not all(
        part.isidentifier() for part in (*module_name.split("."), *name.split("."))
    ):
        raise TrainableError(
            f"trainable {target!r} is not of the form module:name, for example train:train for "
            "the function train in train.py"
        )
    module = _import(module_name, folder.resolve())
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise TrainableError(_no_attribute(module, target, part, value))
        value = getattr(value, part)
    return value


def _import(name: str, folder: Path) -> ModuleType:
    LOCAL.add(str(folder))
    own = _own_file(name, folder)
    if own is not None:
        _check_name(name.partition(".")[0], own)
        _forget_namesake(name, own)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TrainableError(_no_module(name, folder)) from error
        raise TrainableError(_raised(name, error)) from error
    except (Exception, SystemExit) as error:
        raise TrainableError(_raised(name, error)) from error


def _check_name(top: str, own: Path) -> None:
    """Refuse a name under which this process, or one of its libraries, needs another module."""
    if top in sys.stdlib_module_names:
        raise TrainableError(
            f"{own} is named like a module of Python's standard library; rename the file"
        )
    loaded = sys.modules.get(top)
    file = getattr(loaded, "__file__", None)
    if file is None and top in _NEEDED:
        spec = importlib.machinery.PathFinder.find_spec(top)
        file = spec.origin if spec is not None else None
    if file is None or Path(file).resolve() in (
        own.resolve(),
        own.parent.resolve() / "__init__.py",
    ):
        return
    if top in _NEEDED or is_installed(Path(file)):
        raise TrainableError(
            f"{own} is named like {file}, which this process needs by that name; rename the file"
        )


def _own_file(name: str, folder: Path) -> Path | None:
    """The file in `folder` that the module's name stands for."""
    stem = folder.joinpath(*name.split("."))
    for path in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _forget_namesake(name: str, own: Path) -> None:
    """Drop a module of the same name that another sweep of this process loaded elsewhere."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if loaded is not None and (file is None or Path(file).resolve() != own.resolve()):
        top = name.partition(".")[0]
        for other in [m for m in sys.modules if m == top or m.startswith(top + ".")]:
            del sys.modules[other]


def _no_module(name: str, folder: Path) -> str:
    beside = sorted(p.stem for p in folder.glob("*.py"))
    near = difflib.get_close_matches(name, beside, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(beside[:10]) or '-'}"
    return f"there is no module {name!r} in {folder}, nor is one installed{hint}"


def _raised(name: str, error: BaseException) -> str:
    """The user's own lines of the traceback, without those of the import system."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith("<frozen") and f.filename != __file__
        and "importlib" not in Path(f.filename).parts
    ]  # fmt: skip
    lines = traceback.format_list(frames[-3:]) + traceback.format_exception_only(error)
    return f"importing {name!r} raised:\n{''.join(lines).rstrip()}{LOCAL.sentence()}"


def _no_attribute(module: ModuleType, target: str, part: str, value: Any) -> str:
    names = [n for n in vars(value) if not n.startswith("_")] if hasattr(value, "__dict__") else []
    near = difflib.get_close_matches(part, names, n=1, cutoff=0.5)
    own = [n for n in names if getattr(vars(value)[n], "__module__", None) == module.__name__]
    hint = f"did you mean {near[0]}?" if near else f"it defines: {', '.join(own[:10]) or 'nothing'}"
    return f"trainable {target!r}: {module.__file__} has no {part!r}; {hint}"
