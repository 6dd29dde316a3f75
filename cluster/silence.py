"""In words: what a trial's process does that has not reported for long."""

from __future__ import annotations

from raysweep.trainables.wire import Pulse
from raysweep.trials.events import Silent

_IDLE = 0.05
"""Cores below which a process counts as doing nothing."""
_NO_CORE = (
    "no core of the cluster is free: a Ray task that it waits for needs one (cluster.max_slots, or "
    "num_cpus=0 for the task)"
)
_DOING = {"setup": "setting up", "save": "saving", "cleanup": "cleaning up"}


def is_idle(cores: float | None) -> bool:
    """Whether a process that keeps so many cores busy does nothing."""
    return cores is not None and cores < _IDLE


def stuck(silent_s: float, limit_s: float, pulse: Pulse | None, full: bool) -> str:
    """Why a trial was killed that said nothing for `silent_s`; `full`: no core was free."""
    cores = pulse.cores if pulse is not None else None
    did = "it is not known how busy its process was"
    if cores is not None:
        idle = f"was idle ({_share(cores)})"
        did = f"its process {idle if is_idle(cores) else 'used ' + _share(cores)}"
    advice = "raise timeouts.stuck or set it to null"
    if full and is_idle(cores):
        advice = f"{_NO_CORE}; or {advice}"
    return f"no report for {silent_s:.0f} s, over timeouts.stuck: {limit_s:g}s; {did}; {advice}"


def silence(event: Silent) -> str:
    """What a view says of a trial: `t000003 silent 12 min, computing (98 % of a core)`."""
    doing = _DOING.get(event.doing, "computing")
    what = f"{event.trial} silent {_span(event.silent_s)}, "
    if event.cores is None:
        return what + doing
    if not is_idle(event.cores):
        return what + f"{doing} ({_share(event.cores)})"
    hint = f"; {_NO_CORE}" if event.full else ""
    return what + f"{_DOING.get(event.doing, 'idle')} (0 % CPU): hung?{hint}"


def _share(cores: float) -> str:
    return f"{cores:.1f} cores" if cores >= 1.5 else f"{100 * cores:.0f} % of a core"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
