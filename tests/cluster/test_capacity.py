"""What a job needs of its cluster, and how long it waits for it."""

import dataclasses
import time

import pytest
from ray.util.placement_group import placement_group, remove_placement_group

from dcgan_dist.cluster import capacity
from dcgan_dist.cluster.capacity import CapacityMonitor, lacks_capacity
from dcgan_dist.presets import preset
from tests.helpers.processes import wait_until

CONFIG = dataclasses.replace(preset("demo32"), num_workers="2", placement_timeout=0.4)


def test_what_is_reserved_and_not_there_is_lacking(ray_cluster: str) -> None:
    assert not lacks_capacity()
    group = placement_group([{"CPU": 1.0}] * 99)
    try:
        assert lacks_capacity()
    finally:
        remove_placement_group(group)
    wait_until(lambda: not lacks_capacity())


def test_waiting_is_logged_and_ends_with_a_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capacity, "LOG_EVERY_SECONDS", 0.1)
    monitor = CapacityMonitor(CONFIG)
    refusals = []
    for _ in range(7):
        refusals.append(monitor.refusal(lacking=True))
        time.sleep(0.1)

    assert refusals[0] == ""
    assert "no room for 2 ranks (2 CPU) within 0.4 s: lower `num_workers`" in refusals[-1]
    assert caplog.messages[0].startswith("waiting for 2 CPU (0 of at most 0 s)")


def test_the_time_counts_from_when_capacity_was_lacking() -> None:
    monitor = CapacityMonitor(CONFIG)
    for _ in range(3):
        time.sleep(0.2)
        assert monitor.refusal(lacking=False) == ""
    assert monitor.refusal(lacking=True) == ""
    time.sleep(0.5)
    assert monitor.refusal(lacking=True)
