from __future__ import annotations

import re

import pytest
from ray import exceptions as ray_errors

from raysweep.cluster.deaths import Doubts, diagnose
from raysweep.trials.events import ErrorClass


@pytest.mark.parametrize(
    ("detail", "alive", "kind", "said"),
    [
        ("Worker exit detail: end of file.", True, ErrorClass.CRASH, r"died on node n1, .*\(end of"),
        ("Worker exit detail: The process receives a SIGTERM.", True, ErrorClass.INFRA, "SIGTERM"),
        ("the actor's node was terminated expectedly: received SIGTERM", True, ErrorClass.INFRA, "end"),
        ("Worker exit detail: end of file.", False, ErrorClass.INFRA, "node n1 was lost"),
    ],
)  # fmt: skip
def test_what_a_death_is_charged_to(detail: str, alive: bool, kind: ErrorClass, said: str) -> None:
    error = ray_errors.ActorDiedError()
    error.error_msg = detail
    found, text = diagnose(error, "n1", alive)
    assert found is kind
    assert re.search(said, text)


def test_a_death_is_charged_once_the_node_has_had_time_to_go_too() -> None:
    doubts, first = Doubts(), ValueError("first")
    doubts.hold("s1", first, 10.0)
    doubts.hold("s1", ValueError("of a call that came later"), 10.8)
    assert doubts.is_held("s1")
    assert doubts.settled("s1", 10.9) is None
    assert doubts.settled("s1", 11.0) is first
    assert doubts.settled("s2", 11.0) is None
    doubts.drop("s1")
    assert not doubts.is_held("s1")
    assert doubts.settled("s1", 99.0) is None
