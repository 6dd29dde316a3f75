"""What independent draws guarantee: N of them hit the best share p with probability 1 − (1 − p)^N.

Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13 (2012), section 1. It
holds for any objective and any number of parameters, without duplicates as well.
"""

from __future__ import annotations

import math

from raysweep.trials.errors import SpecError


def trials_needed(p: float, confidence: float) -> int:
    """How many random trials hit the best share `p` of the space with probability `confidence`.

    Raises:
        SpecError: a share or a probability is not between 0 and 1.
    """
    _check(p=p, confidence=confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-p) - 1e-9)


def confidence_of(p: float, trials: int) -> float:
    """The probability with which `trials` random trials hit the best share `p` of the space.

    Raises:
        SpecError: the share is not between 0 and 1, or there are fewer than 0 trials.
    """
    _check(p=p)
    if trials < 0:
        raise SpecError(f"trials is {trials}; it must be 0 or more")
    return -math.expm1(trials * math.log1p(-p))


def share_covered(trials: int, confidence: float = 0.95) -> float:
    """The share p of the space such that one of `trials` random trials is among its best p.

    That holds with probability `confidence`; without any trial p is 1.

    Raises:
        SpecError: the probability is not between 0 and 1, or there are fewer than 0 trials.
    """
    _check(confidence=confidence)
    if trials < 0:
        raise SpecError(f"trials is {trials}; it must be 0 or more")
    return -math.expm1(math.log1p(-confidence) / trials) if trials else 1.0


def _check(**shares: float) -> None:
    for name, share in shares.items():
        if not 0.0 < share < 1.0:
            raise SpecError(f"{name} is {share!r}; it must lie between 0 and 1, both excluded")
