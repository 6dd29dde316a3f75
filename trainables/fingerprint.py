"""What training code is, in hashes: of its files, or of the bytecode of what was given from Python.

Two fingerprints are equal if the code is, wherever it stands. A function that the processes of trials
import by name counts as the files of its module; one that travels by value (from `__main__`, a
notebook, the inside of a function) as its bytecode with all that it refers to.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.trainables.load import Code, ModuleCode
from raysweep.trainables.local_modules import module_files, script_files
from raysweep.trainables.program import ProgramCode

Fingerprint = dict[str, str]
"""Name of a file, or `<python:name>` of an object → hash."""
_HEX = 16
_MOST_OBJECTS = 5_000
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_LONGEST_PLAIN = 10_000
_BUILT_IN = (
    types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
_HEAP_TYPE = 1 << 9
"""CPython's flag of classes that were made by a class statement."""


def fingerprint(code: Code, target: Any = None) -> Fingerprint:
    """The fingerprint of training code that has been loaded here.

    Args:
        code: where it is.
        target: the function or class, where it was given as an object.
    """
    if target is not None:
        return _Objects().of(target)
    if isinstance(code, ModuleCode):
        return _hashed(module_files([code.target.partition(":")[0]], Path(code.folder)))
    if isinstance(code, ProgramCode):
        return _hashed(_program_files(code))
    return {}


def digest(found: Mapping[str, str]) -> str:
    """One hash of a whole fingerprint; "" of an empty one."""
    text = "\n".join(f"{name}\0{value}" for name, value in sorted(found.items()))
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:_HEX] if text else ""


def _hashed(files: Mapping[str, Path]) -> Fingerprint:
    found = {}
    for name, path in files.items():
        try:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:_HEX]
        except OSError:
            found[name] = "unreadable"
    return found


def _program_files(code: ProgramCode) -> dict[str, Path]:
    """The program, and whatever else its command names that is a file in its folder."""
    folder = Path(code.folder)
    words = [code.file, *code.command]
    found: dict[str, Path] = {}
    for word in words:
        path = folder / word
        if not word or word.startswith("-") or not path.is_file() or folder not in path.parents:
            continue
        found |= script_files(path, folder) if path.suffix == ".py" else {word: path}
    return found


class _Objects:
    """Walks from a function or class over what it refers to."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: set[int] = set()
        self._modules: set[str] = set()

    def of(self, target: Any) -> Fingerprint:
        """The fingerprint of `target`."""
        self._visit(target)
        name = getattr(target, "__qualname__", type(target).__qualname__)
        files = module_files(sorted(self._modules), Path.cwd())
        return {f"<python:{name}>": self._hash.hexdigest()[:_HEX], **_hashed(files)}

    def _put(self, *words: object) -> None:
        self._hash.update("\0".join(map(str, words)).encode(errors="backslashreplace") + b"\n")

    def _visit(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self._put(type(value).__name__, repr(value)[:_LONGEST_PLAIN])
            return
        if id(value) in self._seen or len(self._seen) > _MOST_OBJECTS:
            return
        self._seen.add(id(value))
        if isinstance(value, types.ModuleType):
            self._modules.add(value.__name__)
        elif isinstance(value, (list, tuple)):
            self._put(type(value).__name__, len(value))
            for item in value:
                self._visit(item)
        elif isinstance(value, Mapping):
            for name in sorted((name for name in value if isinstance(name, _PLAIN)), key=repr):
                self._put(repr(name)[:_LONGEST_PLAIN])
                self._visit(value[name])
        elif isinstance(value, (set, frozenset)):
            self._put(*sorted(repr(item) for item in value if isinstance(item, _PLAIN)))
        elif isinstance(value, _BUILT_IN):
            self._put("built-in", value.__name__)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self._visit(part)
        elif isinstance(value, (staticmethod, classmethod, types.MethodType)):
            self._visit(value.__func__)
        elif isinstance(value, property):
            for function in (value.fget, value.fset):
                self._visit(function)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        else:
            self._put("object of", type(value).__qualname__)
            self._visit(type(value))
            if not _by_name(type(value)):
                self._visit(getattr(value, "__dict__", None))

    def _function(self, function: types.FunctionType) -> None:
        self._put("function", function.__qualname__)
        if _by_name(function):
            self._modules.add(function.__module__)
            return
        self._code(function.__code__, function.__globals__)
        self._visit(function.__defaults__)
        self._visit(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self._visit(cell.cell_contents)
            except ValueError:  # not filled yet
                continue

    def _class(self, cls: type[Any]) -> None:
        self._put("class", cls.__qualname__)
        if _by_name(cls):
            self._modules.add(cls.__module__)
        if _by_name(cls) or not cls.__flags__ & _HEAP_TYPE:
            return
        for base in cls.__bases__:
            self._visit(base)
        for name, member in sorted(vars(cls).items()):
            if not name.startswith("__") or callable(member):
                self._put(name)
                self._visit(member)

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        """Instructions, constants, and what the global names in it stand for; no line numbers."""
        self._put(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, names)
            else:
                self._visit(constant)
        for name in code.co_names:
            if name in names:
                self._put(name)
                self._visit(names[name])
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME":
                self._modules.add(str(step.argval))


def _by_name(value: Any) -> bool:
    """Whether cloudpickle sends the name of `value` only, which then is imported at the other end."""
    module, path = sys.modules.get(value.__module__), value.__qualname__.split(".")
    if module is None or value.__module__ == "__main__":
        return False
    found: Any = module
    for part in path:
        found = getattr(found, part, None)
    return found is value
