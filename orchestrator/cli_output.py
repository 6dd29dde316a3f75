"""What all commands share: where text and JSON go, how errors are told, what PATH may be."""

from __future__ import annotations

import errno
import json
import math
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from raysweep.orchestrator import interrupts
from raysweep.trials.errors import (
    ClusterError,
    ClusterLost,
    RaysweepError,
    SpecError,
    StoreBusy,
    StoreFormatError,
    StoreUnwritable,
)
from raysweep.trials.names import nearest

if TYPE_CHECKING:
    from rich.console import Console

FAILED, BAD_INPUT = 1, 2
SWEEPS = Path("sweeps")
_BAD_INPUT = (SpecError, ClusterError, StoreBusy, StoreFormatError)
_CAN_GO_ON = (ClusterLost, StoreUnwritable)
_WIDE = 1_000


class Commands(TyperGroup):
    """Tells of every error in one message; a traceback goes to a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options in front of a command."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            _is_usage(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except RaysweepError as error:
            raise fail(str(error), _code_of(error)) from None
        except KeyboardInterrupt:  # the second signal to a sweep, or one to a test's runner
            code, said = interrupts.outcome()
            raise fail(said, code) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # `raysweep trials | head`
                raise
            raise fail(_refusal(error), FAILED) from None
        except Exception as error:
            if _is_usage(error):
                raise
            raise fail(_bug(error), FAILED) from None


def _is_usage(error: Exception) -> bool:
    """Whether typer tells of `error` by itself: wrong usage, of which it shows the words, or an exit."""
    from raysweep.orchestrator.wording import escaped

    if not type(error).__module__.startswith(("typer", "click")):
        return False
    if isinstance(message := getattr(error, "message", None), str):
        error.message = escaped(message)  # type: ignore[attr-defined]
    return True


def fail(message: str, code: int) -> typer.Exit:
    """Tell of an error on standard error; what to raise so as to leave with `code`."""
    stderr().print(f"error: {message}", style="red", soft_wrap=True)
    return typer.Exit(code)


def stdout() -> Console:
    """The console for people, on standard output."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console for what must not mix with output."""
    return _console(stderr=True)


def with_best(facts: dict[str, Any]) -> dict[str, Any]:
    """`facts` of a sweep with its best trial's id, config and metrics beside them, null if none."""
    best = facts["best"] or {}
    return {**facts, **{name: best.get(name) for name in ("trial_id", "config", "metrics")}}


def print_json(value: Any) -> None:
    """`value` as JSON on standard output; NaN and infinities, which JSON lacks, are null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def sweep_path(given: str) -> Path:
    """The sweep directory that `given` names: a path, or a name under ./sweeps.

    Raises:
        StoreFormatError: there is none; names the nearest.
    """
    for path in (Path(given), SWEEPS / given):
        if path.is_dir():
            return path
    known = [path.name for path in sweeps_in(SWEEPS)]
    if not known:
        raise StoreFormatError(
            f"there is no sweep {given!r}: it is no directory, and ./{SWEEPS} holds no sweeps; give "
            f"the directory that `raysweep run` printed"
        )
    raise StoreFormatError(
        f"there is no sweep {given!r}: it is no directory and no sweep under ./{SWEEPS}; "
        f"{nearest(given, known)}"
    )


def sweeps_in(storage: Path) -> list[Path]:
    """The sweep directories in `storage`, by name."""
    from raysweep.results.layout import is_sweep

    return sorted(path for path in storage.iterdir() if is_sweep(path)) if storage.is_dir() else []


def _console(*, stderr: bool) -> Console:
    from raysweep.orchestrator.terminal import Terminal

    console = Terminal(stderr=stderr)
    if not console.is_terminal:
        console.width = _WIDE  # what a program reads is not cut to a screen
    return console


def _code_of(error: RaysweepError) -> int:
    if isinstance(error, _CAN_GO_ON):
        return interrupts.RESUMABLE
    return BAD_INPUT if isinstance(error, _BAD_INPUT) else FAILED


def _refusal(error: OSError) -> str:
    """What the system refused, and where; some of its errors name no file."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{what}: {error.filename}" if error.filename is not None else what


def _bug(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="raysweep-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    return (
        f"{type(error).__name__}: {str(error)[:500]}\nThis is a bug in raysweep; the traceback is in "
        f"{file.name}, please report it with that file"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return str(value)
