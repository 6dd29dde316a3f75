"""Every private name of Ray that raysweep touches, with its reason; the only door to them.

A private name may move with any release. `tests/test_ray_contract.py` asks for each of them, and
for the public seams whose behaviour we rely on, so that an upgrade of Ray fails there and not in
a user's sweep.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PRIVATE: dict[str, str] = {
    "ray.train._internal.session:_session": (
        "where tune.report, tune.get_checkpoint and tune.get_context look for the running trial"
    ),
}
"""`module:attribute` to why raysweep needs it."""


def private(name: str) -> Any:
    """What the private name stands for in the installed Ray.

    Args:
        name: a key of `PRIVATE`.

    Raises:
        KeyError: it is not listed; list it, with its reason.
        ImportError, AttributeError: the installed Ray does not have it any more.
    """
    PRIVATE[name]
    module, _, attribute = name.partition(":")
    value: Any = import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def replace(name: str, value: Any) -> Any:
    """Put `value` in the place of a private name; gives what stood there.

    Raises:
        KeyError, ImportError, AttributeError: as `private`.
    """
    before = private(name)
    module, _, attribute = name.partition(":")
    *path, last = attribute.split(".")
    owner: Any = import_module(module)
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, value)
    return before
