"""What a trial puts in the place of functions that most code uses, and of modules: put back.

A patched `time.sleep` or `builtins.print` would reach every later trial of the process, and this
package's own code. What an installed library has put there stays: it may do so only once, when it
is first used, and goes on as if it were there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from operator import eq
from typing import Any

_MODULES = (
    "builtins", "io", "json", "json.decoder", "json.encoder", "logging", "os", "pathlib", "pickle",
    "random", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time",
    "traceback", "warnings",
)  # fmt: skip
"""What is looked at: modules on which most code stands. All of the library takes too long, for a
look after each trial."""
_CLASSES_OF = frozenset({"json.decoder", "json.encoder", "pathlib", "subprocess", "threading"})
"""Of whose classes the methods are looked at, too."""
_INSTALLED = ("site-packages", "dist-packages")
_ABSENT = object()


class _Namespace:
    """The functions and classes of a module, or the methods of a class, as they were."""

    def __init__(self, owner: Any, first: dict[str, Any]) -> None:
        self._owner, self._first, self._last = owner, first, dict(first)
        self._now = vars(owner)

    def restore(self) -> None:
        """Bring them back, or a library's in their place."""
        for name, last in self._last.items():
            found = self._now.get(name, _ABSENT)
            if found is last:
                continue
            if found is self._first[name] or _is_of_library(found):
                self._last[name] = found
            else:
                setattr(self._owner, name, last)


class Patches:
    """Functions and modules of this process as they are when this is made; `restore` brings them back."""

    def __init__(self) -> None:
        self._table, self._modules = sys.modules, dict(sys.modules)
        self._loaded = list(sys.modules.values())
        self._namespaces = [_Namespace(*found) for found in _namespaces() if found[1]]
        self._owned = [vars(owner) for owner, found in _namespaces() if found]
        self._seen = list(map(_values, self._owned))

    def restore(self) -> None:
        """Bring them back; a module that was imported meanwhile stays, and is one from then on."""
        sys.modules = self._table
        if list(sys.modules.values()) != self._loaded:
            sys.modules.update(self._modules)
            for name in [n for n in sys.modules if n not in self._modules]:
                if sys.modules[name] is None:  # it kept a module from being imported
                    del sys.modules[name]
            self._modules, self._loaded = dict(sys.modules), list(sys.modules.values())
        if not all(map(eq, map(_values, self._owned), self._seen)):  # no loop in Python is as quick
            for namespace in self._namespaces:
                namespace.restore()
            self._seen = list(map(_values, self._owned))


def _values(names: Mapping[str, Any]) -> list[Any]:
    """All that a module or class holds."""
    return list(names.values())


def _namespaces() -> Iterator[tuple[Any, dict[str, Any]]]:
    for name in _MODULES:
        module = sys.modules.get(name)
        if module is None:
            continue
        found = {key: value for key, value in vars(module).items() if callable(value)}
        yield module, found
        if name in _CLASSES_OF:
            for value in found.values():
                if isinstance(value, type) and value.__module__ == name:
                    yield value, {k: v for k, v in vars(value).items() if callable(v)}


def _is_of_library(value: Any) -> bool:
    module = sys.modules.get(str(getattr(value, "__module__", "")))
    file = str(getattr(module, "__file__", None))
    return any(folder in file for folder in _INSTALLED)
