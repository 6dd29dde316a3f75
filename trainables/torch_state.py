"""PyTorch's process-wide state, put back between two trials; torch is never imported for it."""

from __future__ import annotations

import sys
from typing import Any

_SEED = 67280421310721
"""With which torch's generators begin in every process: `c10::detail::default_rng_seed_val`."""


class TorchState:
    """The state as it is when this is made, or torch's own defaults if it comes in later."""

    def __init__(self) -> None:
        torch = sys.modules.get("torch")
        self._threads = torch.get_num_threads() if torch is not None else None
        self._before = _read(torch) if torch is not None else None
        self._generator = torch.get_rng_state() if torch is not None else None

    def restore(self) -> str | None:
        """Bring it back.

        Returns:
            What cannot be brought back, in words; None if all is as it was.
        """
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "set_rng_state"):  # an import that failed
            return None
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return "it left torch.distributed initialized"
        dtype, grad, deterministic, warn, precision, anomaly, cudnn = self._before or _defaults(
            torch
        )
        if _read(torch) != (dtype, grad, deterministic, warn, precision, anomaly, cudnn):
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn)
            torch.set_float32_matmul_precision(precision)
            torch.autograd.set_detect_anomaly(anomaly)
            flags = torch.backends.cudnn
            flags.enabled, flags.benchmark, flags.deterministic = cudnn
        if torch.get_default_device() != torch.device("cpu"):
            torch.set_default_device(None)
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if self._generator is not None:
            torch.set_rng_state(self._generator)
        else:
            torch.default_generator.manual_seed(_SEED)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(_SEED)
        return None


def _read(torch: Any) -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
    )


def _defaults(torch: Any) -> tuple[Any, ...]:
    return torch.float32, True, False, False, "highest", False, (True, False, False)
