from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.orchestrator.yaml_file import MAX_BYTES, parse_yaml, read_yaml
from raysweep.trials.errors import SpecError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # YAML 1.2.2, section 10.3.2 and example 2.x; in 1.1 the first six are something else
        ("1e-3", 0.001),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("010", 10),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+12.5e2", 1250.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("!!str 4", "4"),
        ("!!float 3", 3.0),
        ("[1, {b: c}]", [1, {"b": "c"}]),
        ("{<<: {b: 1}}", {"<<": {"b": 1}}),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    parsed = parse_yaml(f"a: {text}\n")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_yaml("a: .nan")["a"])


def test_aliases_become_copies() -> None:
    parsed = parse_yaml("a: &x [1]\nb: *x")
    assert parsed == {"a": [1], "b": [1]}
    assert parsed["a"] is not parsed["b"]


BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "spec line 3: the key 'a' stands here and on line 1; remove one"),
        ("a:\n  b: 1\n  b: 2", "spec line 3: the key 'b' stands here and on line 2"),
        ("", "spec is empty; `raysweep init`"),
        ("# nothing\n", "spec is empty"),
        ("- 1", "line 1: a spec is a mapping"),
        ("3", "line 1: a spec is a mapping"),
        ("a: [1\nb: 2", "spec line 2: expected ',' or ']'"),
        ("a: 1\n\tb: 2", "spec line 2: .*mend the YAML"),
        ("a: *b", "line 1: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("a: &x [*x]", "line 1: an alias contains itself"),
        (BOMB, "line 6: expands to over 100,000 values; use fewer aliases"),
        ("a: [" + "1," * 100_000 + "1]", "over 100,000 values"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: !!python/object/apply:os.getpid []", "line 1: the tag .*python/object.* is not allowed"),
        ("a: !!python/name:os.system ''", "is not allowed; remove it"),
        ("a: !mine 3", "the tag !mine is not allowed"),
        ("a: !!set {b}", "is not allowed"),
        ("a: !!binary aGk=", "is not allowed"),
        ("a: !!int foo", "line 1: 'foo' is no int"),
        ("a: !!bool yes", "'yes' is no bool"),
        ("a: " + "9" * 5000, r"'9{40}' is no int"),
        ('a: "\\ud800"', "is no str"),
        ("1: 2", "line 1: the key 1 is not text; put it in quotes"),
        ("[a]: 2", "is not text"),
        ("a: \x00", "unacceptable character"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_yaml(text)


def test_files_over_a_megabyte_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"a: " + b"x" * MAX_BYTES)
    with pytest.raises(SpecError, match=r"big.yaml has over 1,000,000 bytes"):
        read_yaml(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot read .*none.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("a: ä".encode("latin-1"))
    with pytest.raises(SpecError, match=r"latin.yaml is not UTF-8 \(byte 3\)"):
        read_yaml(tmp_path / "latin.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "bom.yaml") == {"a": 1}


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(TEXT, PLAIN, min_size=1, max_size=4))
def test_what_json_writes_is_read_as_it_was(value: dict[str, Any]) -> None:
    """YAML 1.2 holds JSON; JSON's own text is the reference."""
    assert parse_yaml(json.dumps(value)) == value


@given(st.text(alphabet="ab:-[]{}&*!'\"#\n\t ,?|>%@0.e\x00\u2028", max_size=40))
def test_arbitrary_text_raises_nothing_but_spec_errors(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(parse_yaml(text), dict)
