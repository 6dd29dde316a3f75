from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.cluster.resources import Resources, accelerators_of
from raysweep.trials.errors import ClusterError, SpecError

NODE = {"CPU": 16.0, "GPU": 4.0, "memory": 64.0 * 2**30, "accelerator_type:A100": 1.0, "tpu": 1.0}


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        (Resources(), 16),
        (Resources(cpu=0.5), 32),
        (Resources(gpu=0.25), 16),
        (Resources(gpu=0.3), 12),  # three on each of four devices, not floor(4 / 0.3) = 13
        (Resources(cpu=0.1, gpu=0.1), 40),  # exact: in floats 1 // 0.1 is 9
        (Resources(cpu=0.1, gpu=1 / 3), 12),
        (Resources(cpu=0.1, gpu=1 / 7), 28),
        (Resources(gpu=0.6), 4),
        (Resources(gpu=1), 4),
        (Resources(gpu=3), 1),
        (Resources(gpu=8), 0),
        (Resources(cpu=5), 3),
        (Resources(memory_gb=24), 2),
        (Resources(accelerator_type="A100"), 16),
        (Resources(accelerator_type="H100"), 0),
        (Resources(custom={"tpu": 0.5}), 2),
        (Resources(custom={"licence": 1}), 0),
    ],
)
def test_slots_that_fit_a_node(resources: Resources, slots: int) -> None:
    assert resources.fit(NODE) == slots


def test_a_larger_slot_holds_more_of_everything() -> None:
    small = Resources(cpu=0.5, gpu=0.25, memory_gb=3, custom={"tpu": 0.1})
    assert small.times(2) == Resources(1.0, 0.5, 6, None, {"tpu": 0.2})
    assert small.times(1) is small
    assert Resources(gpu=0.33).times(3).gpu == 1.0, "Ray must find a whole GPU free"
    assert Resources(cpu=1).times(4) == Resources(cpu=4)


@given(st.floats(0.001, 1.0), st.integers(1, 16))
def test_no_device_is_overbooked_in_rays_units(gpu: float, devices: int) -> None:
    resources = Resources(cpu=0.0, gpu=gpu)
    slots = resources.fit({"GPU": float(devices)})
    unit = round(resources.to_ray_options()["num_gpus"] * 10_000)
    assert slots % devices == 0
    assert slots // devices * unit <= 10_000
    assert slots // devices >= int(1 / gpu + 1e-9)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(gpu=1.5), "gpu is 1.5; .* such as 1 or 2"),
        (Resources(cpu=-1), "cpu is -1"),
        (Resources(cpu=float("nan")), "cpu is nan"),
        (Resources(gpu=0.00001), "gpu is 1e-05"),
        (Resources(cpu=0), "all amounts are 0"),
        (Resources(custom={"tpu": float("inf")}), "tpu is inf"),
        (Resources(memory_gb=-2), "memory_gb is -2"),
    ],
)
def test_amounts_that_nobody_could_hold(resources: Resources, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resources.validated()


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (Resources(cpu=1, gpu=8), "asks for 1 CPU, 8 GPU; of 2 nodes the most .* 16 CPU, 4 GPU"),
        (Resources(memory_gb=100), "100.0 GiB of memory; .* 64.0 GiB of memory"),
        (Resources(accelerator_type="H100"), r"no.* type 'H100' \(there are: A100\)"),
        (Resources(custom={"licence": 2}), "2 licence; .* 0 licence"),
    ],
)
def test_what_no_node_can_give_is_spelt_out(resources: Resources, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        resources.check_possible([NODE, {"CPU": 2.0}])


def test_what_some_node_can_give_is_fine() -> None:
    Resources(gpu=0.25).check_possible([{"CPU": 2.0}, NODE])


def test_the_type_of_a_node_s_accelerators() -> None:
    assert accelerators_of(NODE) == ["A100"]
    assert accelerators_of({"CPU": 2.0}) == []


def test_ray_options() -> None:
    options: dict[str, Any] = Resources(
        cpu=2, gpu=1 / 3, memory_gb=0.5, accelerator_type="A100", custom={"tpu": 0.25, "x": 0}
    ).to_ray_options()
    assert options == {
        "num_cpus": 2.0,
        "num_gpus": 0.3333,
        "memory": 2**29,
        "accelerator_type": "A100",
        "resources": {"tpu": 0.25},
    }
