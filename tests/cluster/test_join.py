"""What a job asks of its cluster, and how long it waits for it."""

from __future__ import annotations

import dataclasses
import time

import pytest
from ray.util.placement_group import placement_group, remove_placement_group

from dcgan_dist.cluster import join as cluster
from dcgan_dist.cluster.join import CapacityMonitor, ranks_want_room
from dcgan_dist.presets import preset

CONFIG = dataclasses.replace(preset("demo32"), num_workers="2", placement_timeout=0.4)


def test_what_is_reserved_and_not_there_is_room_wanted(ray_cluster: str) -> None:
    assert not ranks_want_room()
    group = placement_group([{"CPU": 1.0}] * 99)
    try:
        assert ranks_want_room()
    finally:
        remove_placement_group(group)
    until = time.monotonic() + 10
    while ranks_want_room():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_who_waits_says_so_and_gives_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SAY_EVERY_SECONDS", 0.1)
    said: list[str] = []
    room = CapacityMonitor(CONFIG, said.append)
    refusals = []
    for _ in range(7):
        refusals.append(room.refusal(wanting=True))
        time.sleep(0.1)

    assert refusals[0] == ""
    assert "no room for 2 ranks (2 CPU) within 0.4 s: lower `num_workers`" in refusals[-1]
    assert said[0].startswith("waiting for 2 CPU (0 of at most 0 s)")


def test_the_time_counts_from_when_room_was_wanted() -> None:
    room = CapacityMonitor(CONFIG, print)
    for _ in range(3):
        time.sleep(0.2)
        assert room.refusal(wanting=False) == ""
    assert room.refusal(wanting=True) == ""
    time.sleep(0.5)
    assert room.refusal(wanting=True)
