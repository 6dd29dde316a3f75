"""The entry point of the `raysweep` command: takes the signals, then imports the commands."""

from __future__ import annotations

from raysweep.orchestrator import interrupts

TYPE_CHECKING = False  # typing alone takes as long as the rest of this
if TYPE_CHECKING:
    from typing import Any

    from raysweep.orchestrator.cli_app import app as app


def main() -> None:
    """Run the command in `sys.argv`."""
    interrupts.take()
    from raysweep.orchestrator.cli_app import app

    app()


def __getattr__(name: str) -> Any:
    """`app`, imported when it is asked for (PEP 562): typer takes longer than a signal waits."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from raysweep.orchestrator.cli_app import app

    return app
