"""Parquet: how parts and tables are written, and how they are read back with every page checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from raysweep.results import layout
from raysweep.results.layout import Part
from raysweep.results.reports import FIXED, METRICS_JSON, Registry
from raysweep.trials.errors import StoreCorrupt

_ROW_GROUP = 131_072
_REPEATING = frozenset(
    {
        "trial_id",
        "kind",
        "shape",
        "verb",
        "rule",
        "model",
        "status",
        "slot",
        "node",
        "end",
        "stop_rule",
    }
)
_ARROW_ERRORS = (pa.ArrowException, OSError, ValueError)
_META, _COLUMNS = b"raysweep", b"raysweep.columns"


def parquet(table: pa.Table, meta: str) -> bytes:
    """`table` as a Parquet file with page checksums; `meta` is kept as key-value metadata.

    The footer has no checksum of its own, so one of the column names and types goes in there.
    """
    names = table.schema.names
    repeating = [name for name in names if name in _REPEATING]
    split = {
        field.name: "BYTE_STREAM_SPLIT"
        for field in table.schema
        if field.type == pa.float64() and field.name not in _REPEATING
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({_META: meta.encode(), _COLUMNS: _outline(table.schema)}),
        sink,
        compression="zstd",
        compression_level=3,
        use_dictionary=repeating,
        column_encoding=split,
        write_page_checksum=True,
        write_page_index=True,
        row_group_size=_ROW_GROUP,
    )
    return bytes(sink.getvalue())


def read_parquet(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A file written by `parquet`, every page checked.

    Raises:
        StoreCorrupt: a page or the footer is damaged, or the file is gone.
    """
    try:
        layout.check_plain(file)
        check_outline(pq.read_schema(file))
        return pq.read_table(
            file,
            columns=columns,
            page_checksum_verification=True,
            partitioning=None,
        ).replace_schema_metadata()
    except _ARROW_ERRORS as error:
        raise _damaged(file, error) from error


def read_meta(file: Path) -> str:
    """The metadata that `parquet` put into the footer.

    Raises:
        StoreCorrupt: the footer is damaged.
    """
    try:
        layout.check_plain(file)
        metadata = pq.read_metadata(file).metadata or {}
        return str(metadata[_META].decode())
    except (*_ARROW_ERRORS, KeyError) as error:
        raise _damaged(file, error) from error


def check_outline(schema: pa.Schema) -> None:
    """Make sure that the columns are those that were written.

    Raises:
        ValueError: they are not: the footer is damaged.
    """
    if (schema.metadata or {}).get(_COLUMNS) != _outline(schema):
        raise ValueError("the columns in its footer are not those that were written")


def _outline(schema: pa.Schema) -> bytes:
    """A checksum of names and types."""
    lines = "\n".join(f"{field.name}: {field.type}" for field in schema)
    return b"%08x" % zlib.crc32(lines.encode("utf-8", "surrogatepass"))


def _damaged(file: Path, error: Exception) -> StoreCorrupt:
    return StoreCorrupt(
        f"{file} is damaged or missing ({type(error).__name__}: {str(error)[:200]}). "
        "Restore it from a copy"
    )


def report_schema(registry: Registry) -> pa.Schema:
    """The columns of all reports, whichever part they stand in."""
    schema = FIXED
    for metric in registry.metrics.values():
        kind = pa.float64() if metric.kind == "float64" else pa.string()
        schema = schema.append(pa.field(metric.column, kind))
    return schema.append(pa.field(METRICS_JSON, pa.string()))


def unify(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with the columns of `schema`, null where it has none."""
    columns = [
        table[field.name] if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def dataset(root: Path, folder: str, parts: Iterable[Part], tail: pa.Table) -> Any:
    """The rows of these parts, and of `tail` in memory, as one lazy pyarrow dataset.

    The schema is `tail`'s: columns that a part lacks are null.

    Raises:
        StoreCorrupt: a part is missing, or its footer is damaged.
    """
    checked = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    files = [str(root / folder / part.name) for part in parts]
    memory = ds.dataset(tail)
    if not files:
        return memory
    for file in map(Path, files):
        try:
            layout.check_plain(file)
            check_outline(pq.read_schema(file))
        except _ARROW_ERRORS as error:
            raise _damaged(file, error) from error
    stored = ds.dataset(files, schema=tail.schema, format=checked)
    return ds.dataset([stored, memory])


def publish_part(root: Path, folder: str, part: Part, table: pa.Table, meta: str) -> int:
    """Write one part and give its checksum; its rename is the commit."""
    return layout.publish(root, f"{folder}/{part.name}", parquet(table, meta))
