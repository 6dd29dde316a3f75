"""Reading a YAML file that a stranger may have written.

The syntax is YAML's, the meaning of scalars is YAML 1.2's core schema: `1e-3` is a number, `no`,
`on` and `12:30` are text. Refused: files over 1 MB, several documents, the same key twice, keys
that are not text, aliases that expand beyond 100,000 values or contain themselves, and tags that
would build anything but plain data.
"""

from __future__ import annotations

import os
import re
import select
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from raysweep.trials.errors import SpecError

MAX_BYTES = 1_000_000
_PIPE_S = 5.0
MAX_VALUES = 100_000
"""How many values a file may hold once its aliases are expanded."""

_TAG = "tag:yaml.org,2002:"
_CORE: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
"""The core schema (yaml.org/spec/1.2.2, section 10.3.2): tag, pattern, possible first characters."""


class _Loader(yaml.SafeLoader):
    """The safe loader with the core schema's scalars instead of YAML 1.1's."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node of the file, unless it has too many of them to be a spec."""
        self.composed = getattr(self, "composed", 0) + 1
        if self.composed > MAX_VALUES:
            raise SpecError(f"a spec has over {MAX_VALUES:,} values; shorten it")
        return super().compose_node(parent, index)


for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(
        _TAG + _name,
        re.compile(rf"^(?:{_pattern})$"),
        ["" if c == "\0" else c for c in _first],
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at `path`.

    Raises:
        SpecError: if it cannot be read or is refused, with the line.
    """
    try:
        content = _read_bytes(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SpecError(f"cannot read {path!s:.200}: {why}; give the path of a spec") from None
    if len(content) > MAX_BYTES:
        raise SpecError(
            f"{path.name} has over {MAX_BYTES:,} bytes; a spec is far smaller: shorten it"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    return parse_yaml(text, path.name)


def _read_bytes(path: Path) -> bytes:
    """What is in the file, up to one byte too many; a pipe may take its time, but not for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    pieces: list[bytes] = []
    try:
        pipe = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        while (left := MAX_BYTES + 1 - sum(map(len, pieces))) > 0:
            if pipe and not select.select([descriptor], [], [], _PIPE_S)[0]:
                raise SpecError(
                    f"{path} is a pipe into which nothing was written for {_PIPE_S:g} s"
                )
            piece = os.read(descriptor, left)
            if not piece:
                break
            pieces.append(piece)
    finally:
        os.close(descriptor)
    return b"".join(pieces)


def parse_yaml(text: str, where: str = "spec") -> dict[str, Any]:
    """The mapping in `text`; `where` names it in error messages.

    Raises:
        SpecError: as `read_yaml`.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise SpecError(f"{where} is empty; `raysweep init` writes a spec to start from")
        if not isinstance(root, MappingNode):
            raise _refuse(where, root, "a spec is a mapping", "begin with `space:`")
        _count(root, where, {}, set())
        value: dict[str, Any] = _value(root, where)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise SpecError(f"{where}{line}: {error.problem or error.context}; mend the YAML") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{where} is no YAML: {str(error).splitlines()[0]}; mend it") from None
    except RecursionError:
        raise SpecError(f"{where} is nested too deeply; flatten it") from None
    return value


def _refuse(where: str, node: Node, what: str, advice: str) -> SpecError:
    return SpecError(f"{where} line {node.start_mark.line + 1}: {what}; {advice}")


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _count(node: Node, where: str, counted: dict[int, int], open_nodes: set[int]) -> int:
    """How many values `node` expands to; each shared node is counted as often as it is used."""
    if id(node) in open_nodes:
        raise _refuse(where, node, "an alias contains itself", "write the value out")
    if id(node) not in counted:
        open_nodes.add(id(node))
        total = 1
        for child in _children(node):
            total += _count(child, where, counted, open_nodes)
            if total > MAX_VALUES:
                raise _refuse(
                    where, node, f"expands to over {MAX_VALUES:,} values", "use fewer aliases"
                )
        open_nodes.discard(id(node))
        counted[id(node)] = total
    return counted[id(node)]


def _value(node: Node, where: str) -> Any:
    if isinstance(node, MappingNode):
        return _mapping(node, where)
    if isinstance(node, SequenceNode):
        if node.tag != _TAG + "seq":
            raise _refuse(where, node, f"the tag {node.tag} is not allowed", "remove it")
        return [_value(item, where) for item in node.value]
    assert isinstance(node, ScalarNode)
    return _scalar(node, where)


def _mapping(node: MappingNode, where: str) -> dict[str, Any]:
    if node.tag != _TAG + "map":
        raise _refuse(where, node, f"the tag {node.tag} is not allowed", "remove it")
    lines: dict[str, int] = {}
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = _value(key_node, where)
        if not isinstance(name, str):
            raise _refuse(where, key_node, f"the key {name!r} is not text", "put it in quotes")
        line = key_node.start_mark.line + 1
        if name in lines:
            raise SpecError(
                f"{where} line {line}: the key {name!r} stands here and on line {lines[name]}; "
                f"remove one"
            )
        lines[name] = line
        mapping[name] = _value(value_node, where)
    return mapping


def _scalar(node: ScalarNode, where: str) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    try:
        if kind == "str":
            # JSON writes a character beyond 16 bits as two escapes, which PyYAML leaves as two
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        if kind == "null":
            return None
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        if kind == "int":
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if kind == "float":
            special = text.lower().replace(".inf", "inf").replace(".nan", "nan")
            return float(special)
    except (ValueError, KeyError):
        raise _refuse(where, node, f"{text[:40]!r} is no {kind}", "write it as one") from None
    raise _refuse(where, node, f"the tag {node.tag} is not allowed", "remove it")
