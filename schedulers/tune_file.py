"""Where a scheduler in Tune keeps its state, and when it writes: one JSON file beside the trials.

Tune saves its trials, its searcher and its callbacks, but no scheduler: a restored experiment gets
the scheduler as it was before its first trial. So ours writes itself down, and finds itself again
when the first restored trial is added.

    local storage    `raysweep-scheduler-state` in the experiment's folder, replaced atomically
    other storage    the same file in the driver's staging folder, which Tune uploads with its own
                     snapshots

The name ends in neither .json nor .pkl: Tune copies such files back into the staging folder when
it restores, and from there over newer ones.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from raysweep.trials.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

NAME = "raysweep-scheduler-state"
FORMAT = 1
_SHARE = 20
"""At most one part in this many of the time is spent on writing."""


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Replace `path` by `state` in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + ".tmp")
    tmp.write_text(json.dumps({"format": FORMAT, **state}))
    tmp.replace(path)


def parse_state(text: str) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises:
        ValueError: it is no such thing, or of a newer format.
    """
    state = json.loads(text)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"not a scheduler's state of format {FORMAT}")
    return state


class StateFile:
    """The file of one experiment; `locate` before anything else.

    Args:
        clock: tells how long writing takes.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._path: Path | None = None
        self._written, self._ended_s, self._cost_s = 0, float("-inf"), 0.0

    def locate(self, storage: Any) -> dict[str, Any] | None:
        """Find the place in Tune's storage context; what an earlier run left there, if anything.

        What cannot be read is logged and counts as nothing: Tune's own record of the trials then
        stands in for it.
        """
        try:
            from pyarrow.fs import LocalFileSystem

            filesystem, folder = storage.storage_filesystem, storage.experiment_fs_path
            local = isinstance(filesystem, LocalFileSystem)
            self._path = Path(folder if local else storage.experiment_driver_staging_path) / NAME
            return self._read(filesystem, f"{folder}/{NAME}")
        except Exception as error:
            logger.warning("%s could not be read (%s); going by Tune's own record", NAME, error)
            return None

    @staticmethod
    def _read(filesystem: Any, path: str) -> dict[str, Any] | None:
        try:
            with filesystem.open_input_stream(path) as stream:
                text = stream.readall().decode()
        except FileNotFoundError:
            return None
        return parse_state(text)

    def due(self, version: int) -> bool:
        """Whether there is something new to write, and time for it."""
        if self._path is None or version == self._written:
            return False
        return self._clock.now() - self._ended_s >= _SHARE * self._cost_s

    def write(self, version: int, state: dict[str, Any]) -> None:
        """Write `state`, which is at `version`; a failure is logged, and tried again later."""
        if self._path is None:
            return
        began_s = self._clock.now()
        try:
            write_state(self._path, state)
            self._written = version
        except OSError as error:
            logger.warning("%s could not be written: %s", self._path, error)
        self._ended_s = self._clock.now()
        self._cost_s = max(self._ended_s - began_s, 0.001)
