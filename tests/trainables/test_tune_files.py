from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.trainables.tune_files import is_plain

NAMES = st.sampled_from(["a", "b/c", "ä", "\ud800", ""])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), NAMES, st.just((1, 2))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_plain_is_what_json_brings_back_exactly(value: dict[str, Any]) -> None:
    assert is_plain(value) == (repr(json.loads(json.dumps(value))) == repr(value))


@pytest.mark.parametrize(
    "value", [{1: 2}, {"a": (1,)}, {"a": np.float64(0.5)}, {"a": {1}}, {"a": b""}]
)
def test_what_json_would_change_is_not_plain(value: dict[Any, Any]) -> None:
    assert not is_plain(value)
