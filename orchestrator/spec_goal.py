"""The ways to write what is optimised: `metric` with `mode` (or `goal`), or `metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.trials.goal import Mode

_MODES: dict[str, Mode] = {"min": "min", "max": "max", "minimize": "min", "maximize": "max"}
_ALLOWED = "allowed are min and max (also minimize, maximize)"


def read_goal(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Take the goal out of `raw` in whichever form it stands there.

    Returns:
        `metric`, `mode` and `metrics` as `SweepSpec` has them, and the problems met; the first is
        empty if there are any.
    """
    metric, metrics = raw.pop("metric", None), raw.pop("metrics", None)
    modes = {key: raw.pop(key) for key in ("mode", "goal") if raw.get(key) is not None}
    problems = [
        f"{key}: got {mode!r}; {_ALLOWED}" for key, mode in modes.items() if _mode(mode) is None
    ]
    if metric is not None and not (isinstance(metric, str) and metric):
        problems.append(f"metric: got {metric!r}; name one metric, or write metrics: {{loss: min}}")
    problems += _wrong_metrics(metrics)
    if problems:
        return {}, problems
    chosen = {_mode(mode) for mode in modes.values()}
    if len(chosen) > 1:
        return {}, ["mode: it says otherwise than goal; leave one out"]
    return _together(metric, chosen.pop() if chosen else None, metrics)


def _mode(value: object) -> Mode | None:
    return _MODES.get(value) if isinstance(value, str) else None


def _wrong_metrics(metrics: Any) -> list[str]:
    if metrics is None:
        return []
    if not isinstance(metrics, Mapping) or not metrics:
        return [f"metrics: got {metrics!r}; write {{val_accuracy: max, latency_ms: min}}"]
    return [
        f"metrics.{name}: got {mode!r}; {_ALLOWED}"
        for name, mode in metrics.items()
        if _mode(mode) is None or not isinstance(name, str) or not name
    ]


def _together(
    metric: str | None, mode: Mode | None, metrics: Mapping[str, str] | None
) -> tuple[dict[str, Any], list[str]]:
    if metrics is None:
        if metric is None:
            return {}, ["metric: missing; say what the training code reports, e.g. metric: loss"]
        if mode is None:
            return {}, [f"mode: missing; say which way {metric} is better: min or max"]
        return {"metric": metric, "mode": mode, "metrics": {metric: mode}}, []
    first = next(iter(metrics)) if metric is None else metric
    if first not in metrics:
        return {}, [f"metric: got {metric!r}; it must be one of metrics: {', '.join(metrics)}"]
    known = {name: _MODES[value] for name, value in metrics.items()}
    if mode not in (None, known[first]):
        return {}, [f"mode: got {mode}, but metrics says {first}: {known[first]}; leave one out"]
    return {"metric": first, "mode": known[first], "metrics": known}, []
