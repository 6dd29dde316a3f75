"""Plain data as JSON and back, quickly; NaN and the infinities stand as `NaN`, `Infinity`, `-Infinity`."""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any


def _encoder() -> Callable[[Any], str]:
    """JSONEncoder.encode without its making of a new C encoder for each call, a sixth of the time.

    Circular values are not looked for: they end in a RecursionError.
    """
    plain = json.JSONEncoder(check_circular=False, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    escape = json.encoder.encode_basestring_ascii
    pieces = make(None, plain.default, escape, None, ":", ",", False, False, True)
    return lambda value: "".join(pieces(value, 0))


encode_plain = _encoder()
"""The JSON of a value, in ASCII and on one line.

Raises TypeError, ValueError or RecursionError for what is not plain data.
"""
