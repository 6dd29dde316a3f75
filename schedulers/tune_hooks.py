"""What every hook that Tune calls needs: it must not raise, and it must read what trials report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import wraps
from hashlib import blake2b
from typing import Any, Protocol, TypeVar, cast

_Hook = TypeVar("_Hook", bound=Callable[..., Any])


class Warns(Protocol):
    """Has a log."""

    def warn(self, kind: str, detail: object) -> None:
        """Log `detail` the first time that a warning is of this `kind`."""
        ...


def guarded(answer: Any) -> Callable[[_Hook], _Hook]:
    """Log what a hook raises and give `answer` instead: Tune would end the experiment."""

    def guard(hook: _Hook) -> _Hook:
        @wraps(hook)
        def safe(self: Warns, *args: Any, **kwargs: Any) -> Any:
            try:
                return hook(self, *args, **kwargs)
            except Exception as error:
                self.warn(f"{hook.__name__} raised {type(error).__name__}", error)
                return answer

        return cast(_Hook, safe)

    return guard


def number(value: Any) -> float | None:
    """`value` as a float, from numpy and torch scalars as well; None if it is none or NaN."""
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return float(value)


def digest(params: Mapping[str, Any]) -> str:
    """What tells two configs apart, in whatever process: objects count by their type."""
    text = json.dumps(params, sort_keys=True, default=lambda value: type(value).__name__)
    return blake2b(text.encode(), digest_size=8).hexdigest()
