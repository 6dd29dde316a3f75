from __future__ import annotations

import pytest

from raysweep.trials.names import is_name, nearest


@pytest.mark.parametrize(
    ("name", "good"),
    [("lr", True), ("weight-decay", True), ("_x9", True), ("a" * 64, True), ("a" * 65, False), ("", False),
     ("9x", False), ("a.b", False), ("a/b", False), ("..", False), ("a b", False), ("é", False), ("a\n", False), (3, False)],
)  # fmt: skip
def test_which_names_are_allowed(name: object, good: bool) -> None:
    assert is_name(name) is good


@pytest.mark.parametrize(
    ("given", "known", "said"),
    [
        ("widht", ["lr", "width"], "did you mean 'width'? allowed: lr, width"),
        ("Width", ["lr", "width"], "did you mean 'width'? allowed: lr, width"),
        ("lr", ["LR"], "did you mean 'LR'? allowed: LR"),
        ("width", ["net/width"], "did you mean 'net/width'? allowed: net/width"),
        ("widht", ["net/block/width", "lr"], "did you mean 'net/block/width'? allowed: net/block/width, lr"),
        ("zzz", ["lr"], "allowed: lr"),
        ("x", [], "there is none to name"),
        (3, ["lr"], "allowed: lr"),
    ],
)  # fmt: skip
def test_what_was_probably_meant(given: object, known: list[str], said: str) -> None:
    assert nearest(given, known) == said


def test_long_lists_are_cut() -> None:
    assert nearest("q", [f"p{i}" for i in range(100)]).endswith("p18, p19, ...")
