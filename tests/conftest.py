"""What the whole test session shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raysweep.cluster.session import Session, connect


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Session]:
    """The one Ray of the test session: 4 CPUs and 2 GPUs in its books, whatever the machine has."""
    with connect("local", num_cpus=4, num_gpus=2) as session:
        yield session
