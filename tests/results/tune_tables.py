"""What the tests of ParquetCallback look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysweep.results.read import Results, read
from raysweep.results.verify import verify


def recorded(root: Path, name: str = "raysweep") -> Results:
    assert verify(root / name) == []
    return read(root / name)


def rows(results: Results, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(results.arrow(table)[c].to_pylist() for c in columns), strict=True))
