"""What the whole test session shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from raysweep.cluster.session import Session, connect

# How long an example takes says nothing on a machine that others use as well. The default run draws the
# same examples every time; others are looked for by `pytest --hypothesis-profile=search`.
_shared = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _shared)
settings.register_profile("same", _shared, derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Session]:
    """The one Ray of the test session: 4 CPUs and 2 GPUs in its books, whatever the machine has."""
    with connect("local", num_cpus=4, num_gpus=2) as session:
        yield session
