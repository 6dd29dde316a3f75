"""Reading a sweep directory: finished, running or crashed, without a lock and without a write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.results import image, layout
from raysweep.results.codec import Record
from raysweep.results.confirmed import Confirmed, confirmed_in
from raysweep.results.fold import Fold
from raysweep.results.front import OnFront, front_of
from raysweep.results.image import Image
from raysweep.results.live import by_trial_and_step, caps, live
from raysweep.results.parts import dataset, report_schema, unify
from raysweep.results.status import status
from raysweep.trials.errors import StoreCorrupt, StoreError
from raysweep.trials.events import Opened

if TYPE_CHECKING:
    import pandas as pd

_TABLES = ("trials", "reports", "attempts", "decisions", "all_reports")
_NEWEST = {"trials": "best_checkpoint", "attempts": "code"}
"""The column by which a table of the present version is known."""


class Best(NamedTuple):
    """The best report of a sweep: `value` is the goal's first metric, in its own direction.

    `checkpoint` is the folder of its trial's best checkpoint, where the sweep keeps those
    (`checkpoint: {keep_best: 1}`), else of the last one; None if there is none any more.
    """

    trial_id: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    step: int
    value: float
    checkpoint: Path | None = None


def read(path: str | Path, *, accept_loss: bool = False) -> Results:
    """The results in a sweep directory as of now.

    Args:
        path: the directory.
        accept_loss: if the log is damaged, show what precedes the damage.

    Raises:
        StoreFormatError: not a sweep directory, or one that a newer raysweep wrote.
        StoreCorrupt: it is damaged.
    """
    return Results(_whole(Path(path), accept_loss))


def _whole(path: Path, accept_loss: bool) -> Image:
    """The image of a directory, its log undamaged unless that is accepted."""
    found = image.load(path)
    if found.log.damage and not accept_loss:
        raise StoreCorrupt(
            f"{path}: {found.log.damage}. read(path, accept_loss=True) shows what precedes it; "
            "`raysweep verify` says more"
        )
    return found


def history(path: str | Path) -> Iterator[Record]:
    """Every record of a sweep from LSN 1 on, exactly as it was journalled.

    Raises:
        StoreFormatError, StoreCorrupt: as `read`.
    """
    return (line.record for line in _whole(Path(path), accept_loss=False).lines(1))


class Results:
    """The tables of one sweep, each loaded when it is first asked for.

    Attributes:
        path: the sweep directory.
        manifest: SWEEP.json.
    """

    def __init__(self, found: Image) -> None:
        self.path, self.manifest = found.root, dict(found.manifest)
        self._image = found
        self._arrow: dict[str, pa.Table] = {}

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: status, best value, config."""
        return self._pandas("trials")

    @property
    def reports(self) -> pd.DataFrame:
        """The live reports by trial and step: rows that a later attempt repeats are left out."""
        return self._pandas("reports")

    @property
    def attempts(self) -> pd.DataFrame:
        """One row per attempt: where and when it ran, and how it ended."""
        return self._pandas("attempts")

    @property
    def decisions(self) -> pd.DataFrame:
        """Every decision with its reason, in journal order."""
        return self._pandas("decisions")

    def arrow(self, name: str) -> pa.Table:
        """A table: trials, reports, attempts, decisions, or all_reports (superseded rows too).

        Raises:
            StoreError: there is no table of that name.
            StoreCorrupt: a file of it is damaged.
        """
        if name not in _TABLES:
            raise StoreError(f"there is no table {name!r}: choose from {', '.join(_TABLES)}")
        if name not in self._arrow:
            self._arrow[name] = self._load(name)
        return self._arrow[name]

    def polars(self, name: str) -> Any:
        """A table as a polars DataFrame (`pip install raysweep[query]`)."""
        import polars

        return polars.from_arrow(self.arrow(name))

    def duckdb(self) -> Any:
        """A duckdb connection with every table as a view (`pip install raysweep[query]`)."""
        import duckdb

        connection = duckdb.connect()
        for name in ("trials", "attempts", "decisions"):
            connection.register(name, self.arrow(name))
        connection.register("all_reports", self._dataset("reports", self._tail.reports))
        connection.register("superseded_from", caps(self.arrow("attempts")))
        connection.execute(
            "CREATE VIEW reports AS SELECT r.* FROM all_reports r LEFT JOIN superseded_from s "
            "ON r.trial_id = s.trial_id AND r.attempt = s.attempt "
            "WHERE s.cap IS NULL OR r.step <= s.cap"
        )
        return connection

    def best(self) -> Best | None:
        """The best live report of the sweep; None while there is no finite value.

        Replicates count as any trial, and this is one report, chosen for being the best: `confirmed`
        says what its config comes to on fresh seeds.
        """
        trials = self.arrow("trials")
        metric, mode = next(iter(self.manifest["metrics"].items()))
        if trials["best_value"].null_count == len(trials):
            return None
        extreme = pc.min_max(trials["best_value"])[mode]
        row = trials.slice(pc.index(trials["best_value"], extreme).as_py(), 1).to_pylist()[0]
        metrics = self._report(row["trial_id"], row["best_step"]) or {metric: row["best_value"]}
        return Best(
            row["trial_id"],
            json.loads(row["config_json"]),
            metrics,
            row["best_step"],
            row["best_value"],
            self._checkpoint(row),
        )

    def _checkpoint(self, row: dict[str, Any]) -> Path | None:
        for path in filter(None, (row.get("best_checkpoint"), row["checkpoint"])):
            folder = layout.inside(self.path, path)
            if folder is not None and folder.is_dir():
                return folder
        return None

    def front(self) -> list[OnFront]:
        """The trials that no other beats in all metrics of the goal; see `results.front`."""
        return front_of(self)

    def confirmed(self, confidence: float = 0.95) -> Confirmed | None:
        """Which config is best by fresh seeds alone; see `results.confirmed`.

        None while no replicate, of which `confirm` in a spec makes some, is on record.
        """
        return confirmed_in(self, confidence)

    def curves(self, metric: str | None = None) -> pd.DataFrame:
        """A metric by step (index) and trial (columns); the goal's first metric if not named.

        Raises:
            StoreError: nobody has reported a metric of that name.
        """
        name = metric or next(iter(self.manifest["metrics"]))
        known = self._registry.metrics
        if name not in known:
            raise StoreError(f"no trial has reported {name!r}: choose from {', '.join(known)}")
        rows = self.arrow("reports").select(["step", "trial_id", known[name].column])
        frame: pd.DataFrame = rows.to_pandas()
        return frame.pivot(index="step", columns="trial_id", values=known[name].column)

    def status(self) -> dict[str, Any]:
        """Where the sweep stands; see `raysweep.results.status`."""
        best = self.best()
        facts = best._asdict() if best else None
        if facts and best and best.checkpoint:
            facts["checkpoint"] = str(best.checkpoint)
        return status(self.path, self.manifest, self._fold, facts)

    @property
    def metric_columns(self) -> dict[str, str]:
        """Column of `reports` → name of the metric that it holds, as it was reported."""
        return {metric.column: name for name, metric in self._registry.metrics.items()}

    @property
    def opened(self) -> Opened | None:
        """How the newest driver took the sweep over; None if none ever did."""
        return self._fold.opened

    @cached_property
    def _fold(self) -> Fold:
        return self._image.fold()[0]

    @cached_property
    def _tail(self) -> Any:
        """What no part holds yet, and the rows of all trials."""
        tables = self._fold.tables(self._image.compacted + 1)
        return tables._replace(reports=unify(tables.reports, report_schema(self._registry)))

    @property
    def _registry(self) -> Any:
        return self._fold.reports.registry

    def _dataset(self, folder: str, tail: pa.Table) -> Any:
        return dataset(self.path, folder, self._image.parts, tail)

    def _load(self, name: str) -> pa.Table:
        if name in ("trials", "attempts"):
            shot = self._image.snapshot
            if shot and shot.lsn == self._image.lsn:
                table = shot.tables[0 if name == "trials" else 1]
                if _NEWEST[name] in table.column_names:
                    return table
            return getattr(self._tail, name)  # which has every column, however old the snapshot
        if name == "reports":
            rows = live(self.arrow("all_reports"), caps(self.arrow("attempts")))
            return by_trial_and_step(rows)
        folder = layout.REPORTS if name == "all_reports" else layout.DECISIONS
        return self._read(folder)

    def _read(self, folder: str, where: Any = None) -> pa.Table:
        """The rows of a folder's parts and of the log behind them."""
        try:
            return self._dataset(folder, getattr(self._tail, folder)).to_table(filter=where)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreCorrupt(
                f"a part in {self.path / folder} is damaged or missing: {error}. Restore it from a "
                "copy; `raysweep verify` names every damaged file"
            ) from error

    def _report(self, trial: str, step: int) -> dict[str, Any]:
        """The metrics of a trial at a step, by the names under which they were reported."""
        where = (pc.field("trial_id") == trial) & (pc.field("step") == step)
        rows = self._read(layout.REPORTS, where).sort_by("attempt").to_pylist()
        if not rows:
            return {}
        found = {name: rows[-1].get(m.column) for name, m in self._registry.metrics.items()}
        found |= json.loads(rows[-1]["metrics_json"] or "{}")
        return {name: value for name, value in found.items() if value is not None}

    def _pandas(self, name: str) -> pd.DataFrame:
        frame: pd.DataFrame = self.arrow(name).to_pandas()
        return frame
