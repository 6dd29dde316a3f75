"""Where imports of training code look: beside it first, and nobody else's imports do.

A folder of training code may hold a `code.py` or `numpy.py`, an exercise perhaps. Were the folder
first on `sys.path`, PyTorch's `import code` would find it. It stands last there, and a finder looks
into it first when a module of that very folder imports, now or later, as it would be when the folder
is a program's own.
"""

from __future__ import annotations

import importlib.machinery
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

_MACHINERY = {"importlib", "pickle", "cloudpickle"}
_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARIES = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")}
ASKING = "raysweep.trainables.load"
"""The module whose own imports are those of training code: it loads the first of it."""


class LocalModules(MetaPathFinder):
    """Finds modules beside training code, for training code.

    Attributes:
        hidden: name → the file that is imported under it, and the one that would be otherwise.
    """

    def __init__(self) -> None:
        self._folders: list[str] = []
        self.hidden: dict[str, tuple[str, str]] = {}

    def add(self, folder: str) -> None:
        """Look into `folder` too, before those that were added earlier, and last on `sys.path`."""
        if folder in self._folders:
            self._folders.remove(folder)
        self._folders.insert(0, folder)
        if folder not in sys.path:
            sys.path.append(folder)
        if self not in sys.meta_path:
            usual = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
            sys.meta_path.insert(usual, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As of the base class; finds nothing for a module inside a package.

        What others import is looked for elsewhere first: to stand last on `sys.path` is not enough,
        as any `google.py` there comes before the installed parts of a namespace package `google`.
        """
        if path is not None:
            return None
        folders = self._of_importer(sys._getframe(1))
        for folder in folders:
            spec = PathFinder.find_spec(fullname, [folder])
            if spec is not None and spec.origin is not None:  # None: a folder without code
                self._note(fullname, spec.origin, folder)
                return spec
        elsewhere = [entry for entry in sys.path if entry not in self._folders]
        return None if folders else PathFinder.find_spec(fullname, elsewhere)

    def _of_importer(self, frame: FrameType | None) -> list[str]:
        """The folder to which the code belongs that imports."""
        while frame is not None:
            name, file = frame.f_globals.get("__name__") or "", frame.f_code.co_filename
            top = name.removeprefix("ray.").partition(".")[0]
            if name == ASKING:
                return self._folders
            if not file.startswith("<frozen") and top not in _MACHINERY:
                return [] if top == "raysweep" else self._above(file)
            frame = frame.f_back
        return []

    def _above(self, file: str) -> list[str]:
        path = Path(file)
        return [f for f in self._folders if path.is_relative_to(f) and not is_installed(path)][:1]

    def _note(self, name: str, own: str, folder: str) -> None:
        others = [entry for entry in sys.path if entry != folder]
        other = importlib.machinery.PathFinder.find_spec(name, others)
        if other is not None and other.origin not in (None, own):
            self.hidden[name] = (own, str(other.origin))

    def let_go(self) -> None:
        """Forget the imported modules that hide others: who imports such a name next is not theirs."""
        for name in self.hidden:
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[module]

    def sentence(self) -> str:
        """A word on the modules that hide others, "" if none does."""
        return "".join(
            f"\n(`import {name}` of the training code finds {own}, which hides {other}; rename it "
            "if the other is meant)"
            for name, (own, other) in sorted(self.hidden.items())
        )


def installed_as(name: str, beside: str) -> list[str]:
    """Where a module or package `name` is installed, the folder `beside` left out; [] if nowhere."""
    others = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(beside)]
    spec = PathFinder.find_spec(name, others)
    if spec is None:
        return []
    places = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or ())]
    return [place for place in places if name == "raysweep" or is_installed(Path(place))]


def is_installed(file: Path) -> bool:
    """Whether a file belongs to the interpreter or to an installed package."""
    return bool(_INSTALLED & set(file.parts)) or any(map(file.is_relative_to, _LIBRARIES))


LOCAL = LocalModules()
"""The finder of this process: there is one `sys.path`, too."""
