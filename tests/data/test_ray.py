"""Preparation as Ray tasks, and streams whose ranks are killed, on a real Ray."""

import os
import signal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import ray

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.errors import InputError
from dcgan_dist.prepare import write_shards as write_shards_of_source
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.shards import make_plan, planned, positions_of, write_shards

KILLS = 3


def options(out: Path, cpus: int = 1) -> ShardOptions:
    return ShardOptions(out=str(out), shard_samples=10, cpus=cpus)


def test_shards_made_by_tasks_are_those_made_in_process(ray_cluster: str, tmp_path: Path) -> None:
    source = RoomSource(n=45, image_size=16)

    here = prepare(source, options(tmp_path / "here")).manifest
    there = prepare(source, options(tmp_path / "there", cpus=2)).manifest

    assert there.hash == here.hash
    assert len(there.shards) == 5


class RemembersWhatItRead(RoomSource):
    """A source whose readings are seen in the process that made them only."""

    numbers: ClassVar[list[int]] = []

    def read(self, item):  # type: ignore[no-untyped-def]
        self.numbers.append(item.ref)
        yield from super().read(item)


def test_few_images_are_prepared_in_this_process_and_more_are_not(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(RemembersWhatItRead(n=30, image_size=16), options(tmp_path / "few", cpus=0))
    assert len(RemembersWhatItRead.numbers) == 30
    monkeypatch.setattr(write_shards_of_source, "FEW", 29)

    prepare(RemembersWhatItRead(n=30, image_size=16), options(tmp_path / "more", cpus=0))

    assert len(RemembersWhatItRead.numbers) == 30


class KillsItsProcessOnce(RoomSource):
    """A source that takes its process down in the middle of a shard, the first time."""

    def read(self, item):  # type: ignore[no-untyped-def]
        mark = Path(f"/tmp/kill-mark-{self.seed}")
        if item.ref == 17 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().read(item)


def test_a_task_whose_process_is_killed_is_made_again(ray_cluster: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    source = KillsItsProcessOnce(n=45, image_size=16, seed=seed)

    there = prepare(source, options(tmp_path / "there", cpus=2)).manifest

    assert Path(f"/tmp/kill-mark-{seed}").exists()
    Path(f"/tmp/kill-mark-{seed}").unlink()
    assert there.hash == prepare(RoomSource(n=45, image_size=16, seed=seed), options(tmp_path / "here")).manifest.hash


class Refuses(RoomSource):
    """A source whose second shard cannot be made."""

    def read(self, item):  # type: ignore[no-untyped-def]
        if item.ref == 12:
            raise InputError("this source has gone away")
        yield from super().read(item)


def test_what_a_task_finds_wrong_comes_out_in_words_and_the_rest_is_made_later(
    ray_cluster: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="this source has gone away"):
        prepare(Refuses(n=45, image_size=16), options(tmp_path / "out", cpus=2))

    finished = prepare(RoomSource(n=45, image_size=16), options(tmp_path / "out", cpus=2)).manifest

    assert finished.hash == prepare(RoomSource(n=45, image_size=16), options(tmp_path / "here")).manifest.hash


@ray.remote(num_cpus=0.5)
class Rank:
    """Reads its rows and hands out which samples they are."""

    def __init__(self, folder: str, settings: dict[str, int], **options: Any) -> None:
        manifest = load_manifest(folder)
        self._batches = stream_batches(manifest, make_plan(manifest, **settings), image_size=8, **options)

    def step(self) -> list[int]:
        """Manifest positions of the next batch's rows."""
        return positions_of(next(self._batches).images)

    def die(self) -> None:
        """End as a lost machine does."""
        os.kill(os.getpid(), signal.SIGKILL)


def test_ranks_killed_again_and_again_read_every_key_of_the_epoch_once(ray_cluster: str, tmp_path: Path) -> None:
    settings = {"batch_size": 4, "streams": 4, "window": 6, "seed": 1}
    plan = make_plan(write_shards(tmp_path, (31, 45, 20), labelled=False), **settings)
    kills = sorted(np.random.default_rng(0).choice(np.arange(1, plan.steps_per_epoch), KILLS, replace=False).tolist())
    read = np.full((plan.steps_per_epoch, plan.batch_size), -1)

    start = 0
    for attempt, stop in enumerate([*kills, plan.steps_per_epoch]):
        world_size = 1 + attempt % 2
        options = {"world_size": world_size, "start_step": start, "loader_workers": attempt % 2}
        ranks = [Rank.remote(str(tmp_path), settings, rank=rank, **options) for rank in range(world_size)]
        for step in range(start, stop):
            for rank, actor in enumerate(ranks):
                read[step, plan.rows(rank, world_size)] = ray.get(actor.step.remote())
        for actor in ranks:
            actor.die.remote()
        start = stop

    assert np.array_equal(read, [planned(plan, step) for step in range(plan.steps_per_epoch)])
    assert len(set(read.ravel().tolist())) == read.size == 96
