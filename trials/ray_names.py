"""Every private name of Ray that raysweep touches, with its reason; the only door to them.

A private name may move with any release. `tests/test_ray_contract.py` asks for each of them, and
for the public seams whose behaviour we rely on, so that an upgrade of Ray fails there and not in
a user's sweep.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PRIVATE: dict[str, str] = {
    "ray._private.ray_constants:ENABLE_RAY_CLUSTER": (
        "false while an embedded Ray starts: else Ray turns 127.0.0.1 into an address of the network"
    ),
    "ray.train._internal.session:_session": (
        "where tune.report, tune.get_checkpoint and tune.get_context look for the running trial"
    ),
    "ray.tune.trainable:FunctionTrainable._trainable_func": (
        "behind it Tune puts the user's function; called in our thread, so that returning, "
        "yielding and bound parameters mean what they mean in Tune"
    ),
    "ray.train._internal.checkpoint_manager:_TrainingResult": (
        "what tune.Trainable.restore takes where the iteration count is to go on"
    ),
    "ray.tune.trainable.trainable:_DICT_CHECKPOINT_FILE_NAME": (
        "the file in which restore looks for a dict that save_checkpoint returned"
    ),
    "ray.tune.registry:_ParameterRegistry": (
        "where tune.with_parameters keeps values; those of a time before ray.init must be sent"
    ),
    "ray.tune.execution.tune_controller:TuneController._set_trial_status": (
        "schedulers call it on the controller; the controller of our guests offers it"
    ),
    "ray.tune.execution.tune_controller:TuneController._schedule_trial_save": (
        "schedulers call it on the controller; the controller of our guests offers it"
    ),
}
"""`module:attribute` to why raysweep needs it."""

ATTRIBUTES: dict[str, str] = {
    "ray.tune.search.basic_variant:BasicVariantGenerator._points_to_evaluate": (
        "what a user gave it, to be done by our own default search"
    ),
    "ray.tune.search.basic_variant:BasicVariantGenerator._constant_grid_search": (
        "what a user gave it, to be done by our own default search"
    ),
    "ray.tune.schedulers.async_hyperband:AsyncHyperBandScheduler._mode": (
        "the mode that a user gave the scheduler and not the TuneConfig"
    ),
    "ray.tune.search.basic_variant:BasicVariantGenerator._live_trials": (
        "the trials that count against max_concurrent_trials: one that is paused gives its place "
        "back, or a rung that does not fit under the limit waits for ever"
    ),
    "ray.tune.stopper.timeout:TimeoutStopper._timeout_seconds": (
        "the time that a user gave it, which becomes the sweep's budget"
    ),
    "ray.tune.stopper.stopper:CombinedStopper._stoppers": (
        "among them may be a TimeoutStopper, which becomes the sweep's budget"
    ),
}
"""`module:class.attribute` of instances, which a class does not show, to why raysweep needs it."""


def private(name: str) -> Any:
    """What the private name stands for in the installed Ray.

    Args:
        name: a key of `PRIVATE`.

    Raises:
        KeyError: it is not listed; list it, with its reason.
        ImportError, AttributeError: the installed Ray does not have it any more.
    """
    PRIVATE[name]
    module, _, attribute = name.partition(":")
    value: Any = import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def replace(name: str, value: Any) -> Any:
    """Put `value` in the place of a private name; gives what stood there.

    Raises:
        KeyError, ImportError, AttributeError: as `private`.
    """
    before = private(name)
    module, _, attribute = name.partition(":")
    *path, last = attribute.split(".")
    owner: Any = import_module(module)
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, value)
    return before
