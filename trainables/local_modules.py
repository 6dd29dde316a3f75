"""Which files training code consists of: its module, and the project's modules that this imports.

The imports are read from the syntax trees, also those inside of functions, and nothing is executed. What is
installed (in a site-packages folder, or with Python) is no part of the project.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

_MOST_FILES = 2_000
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_IMPORTERS = frozenset({"import_module", "__import__"})


def module_files(modules: Iterator[str] | list[str], folder: Path) -> dict[str, Path]:
    """The files behind `modules` and all that they import, as far as they are the project's own.

    Args:
        modules: dotted names.
        folder: where modules are looked for first; then wherever this process would find them.

    Returns:
        The files by their paths relative to where their packages stand, e.g. `models/resnet.py`.
    """
    walk = _Walk(folder)
    walk.queue.extend(modules)
    return walk.run()


def script_files(script: Path, folder: Path) -> dict[str, Path]:
    """As `module_files`, for a program at `script`; modules are looked for beside it, then in `folder`."""
    walk = _Walk(script.parent, folder)
    walk.take(script.name, script, "__main__")
    return walk.run()


class _Walk:
    """Follows imports from file to file; each is read once."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._roots: dict[str, Path | None] = {}
        self._seen: set[str] = set()
        self.found: dict[str, Path] = {}
        self.queue: list[str] = []

    def run(self) -> dict[str, Path]:
        """Go on until nothing new turns up."""
        while self.queue and len(self.found) < _MOST_FILES:
            module = self.queue.pop()
            if module not in self._seen:
                self._seen.add(module)
                self._follow(module)
        return self.found

    def take(self, name: str, path: Path, module: str) -> None:
        """Enter a file, and what it imports into the queue."""
        if name in self.found:
            return
        self.found[name] = path
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        self.queue.extend(_imports(path, package))

    def _follow(self, module: str) -> None:
        """The module's file, and the `__init__.py` of every package around it."""
        parts = module.split(".")
        root = self._root(parts[0])
        if root is None:
            return
        for depth in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:depth])
            for path in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
                if path.is_file():
                    here = ".".join(parts[:depth])
                    self.take(path.relative_to(root).as_posix(), path, here)
                    break

    def _root(self, top: str) -> Path | None:
        """The folder that holds the module or package `top`; None if it is not the project's."""
        if top not in self._roots:
            self._roots[top] = self._find(top)
        return self._roots[top]

    def _find(self, top: str) -> Path | None:
        if top == "raysweep" or not top.isidentifier():
            return None
        for folder in self._folders:
            if (folder / f"{top}.py").is_file() or any((folder / top).glob("*.py")):
                return folder
        if top in sys.stdlib_module_names:
            return None
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, AttributeError, ValueError):
            return None
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
        place = Path(places[0] if places else spec.origin or "").absolute()
        return None if _is_installed(place) else place.parent


def _is_installed(place: Path) -> bool:
    """Whether a module stands where packages are installed, or is no file."""
    return not place.exists() or not _INSTALLED.isdisjoint(place.parts)


def _imports(path: Path, package: str) -> Iterator[str]:
    """The dotted names of all that a file may import; some may be names in a module."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in _IMPORTERS and isinstance(node.args[0].value, str):
                yield node.args[0].value


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    base = parts[: len(parts) - (node.level - 1)]
    return ".".join([*base, *filter(None, [node.module])])
