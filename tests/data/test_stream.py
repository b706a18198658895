"""The stream hands out exactly the plan's rows, whatever the world size and wherever it begins."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.manifest import Layout, Manifest
from dcgan_dist.data.stream import BadSampleLog, Batch, read_images, read_keys, read_labels, stream_batches
from dcgan_dist.errors import InputError
from tests.helpers.shards import pixels_of, write_shards


@pytest.fixture(params=["samples", "blocks"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> Manifest:
    layout: Layout = request.param
    return write_shards(tmp_path / "shards", (7, 11, 5), layout=layout)


def plan_of(manifest: Manifest, *, batch_size: int = 4, streams: int = 2, window: int = 5) -> ShardPlan:
    return ShardPlan(shard_samples=manifest.shard_samples, batch_size=batch_size, streams=streams, window=window)


def take(
    manifest: Manifest, plan: ShardPlan, n: int, *, rank: int = 0, world_size: int = 1, start_step: int = 0
) -> list[Batch]:
    batches = stream_batches(manifest, plan, rank=rank, world_size=world_size, image_size=8, start_step=start_step)
    try:
        return list(itertools.islice(batches, n))
    finally:
        batches.close()


def expected(positions: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels_of(int(i)).transpose(2, 0, 1) for i in positions]))


def test_batches_hold_the_plan_s_images_and_labels_across_epochs(manifest: Manifest) -> None:
    plan = plan_of(manifest)

    batches = take(manifest, plan, 2 * plan.steps_per_epoch + 1)

    for step, batch in enumerate(batches):
        positions = plan.positions(*plan.epoch_and_step(step))
        assert torch.equal(batch.images, expected(positions))
        assert batch.labels is not None
        assert batch.labels.tolist() == (positions % 10).tolist()


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_together_hold_the_global_batch_row_by_row(tmp_path: Path, world_size: int) -> None:
    manifest = write_shards(tmp_path, (20, 21))
    plan = plan_of(manifest, batch_size=8, streams=4)

    by_rank = [take(manifest, plan, 7, rank=rank, world_size=world_size, start_step=3) for rank in range(world_size)]

    for offset in range(7):
        together = torch.empty(8, 3, 8, 8, dtype=torch.uint8)
        for rank in range(world_size):
            together[plan.rows(rank, world_size)] = by_rank[rank][offset].images
        assert torch.equal(together, expected(plan.positions(*plan.epoch_and_step(3 + offset))))


def test_resuming_at_any_step_equals_the_tail_of_the_whole(manifest: Manifest) -> None:
    plan = plan_of(manifest)
    whole = take(manifest, plan, 12)

    for start in range(12):
        resumed = take(manifest, plan, 1, start_step=start)[0]
        assert torch.equal(resumed.images, whole[start].images)


def test_closing_leaves_no_thread(manifest: Manifest) -> None:
    before = threading.active_count()

    take(manifest, plan_of(manifest), 2)

    assert threading.active_count() == before


def damage(manifest: Manifest, position: int) -> str:
    """Flip a byte in the middle of a sample's image; returns the shard's name."""
    shard, sample = manifest.find(position)
    name = manifest.shards[shard].name
    path = Path(manifest.location) / name
    index = decode_index(path.with_name(index_name(name)).read_bytes(), name)
    data = bytearray(path.read_bytes())
    data[int(index.offsets[sample]) + int(index.sizes[sample]) // 2] ^= 1
    path.write_bytes(data)
    return name


@pytest.mark.parametrize("place", [0, 3])
def test_a_damaged_sample_is_replaced_by_the_previous_good_one_of_its_stream(manifest: Manifest, place: int) -> None:
    plan = plan_of(manifest)
    victim = int(plan.stream(0, 1)[place])
    stand_in = int(plan.stream(0, 1)[place - 1 if place else 1])
    shard = damage(manifest, victim)
    seen: list[BadSample] = []

    batches = stream_batches(manifest, plan, rank=0, world_size=1, image_size=8, on_bad_sample=seen.append)
    images = [batch.images for batch in itertools.islice(batches, plan.steps_per_epoch)]
    batches.close()

    step, row = place // plan.rows_per_stream, plan.rows_per_stream + place % plan.rows_per_stream
    assert torch.equal(images[step][row], expected(np.array([stand_in]))[0])
    assert [(bad.shard, bad.key, bad.position) for bad in seen] == [(shard, f"s{victim:05d}", victim)]
    assert "crc32" in seen[0].fault


def test_a_replacement_does_not_depend_on_where_the_run_resumed_or_on_the_world_size(manifest: Manifest) -> None:
    plan = plan_of(manifest)
    victim = int(plan.stream(0, 1)[plan.rows_per_stream])
    damage(manifest, victim)

    straight = take(manifest, plan, 2)[1].images
    resumed = take(manifest, plan, 1, rank=1, world_size=2, start_step=1)[0].images

    assert torch.equal(straight[plan.rows(1, 2)], resumed)


def test_too_many_bad_samples_stop_the_run_with_their_list() -> None:
    log = BadSampleLog(0.1, samples=20)
    bad = [BadSample(shard="a.tar", key=f"k{i}", position=i, offset=512, fault="crc32") for i in range(3)]

    for one in (*bad[:2], bad[0]):
        log(one)
    with pytest.raises(InputError, match=r"3 samples are bad.*a\.tar: k0 at byte 512"):
        log(bad[2])


def test_grey_shards_become_colour_where_the_model_wants_it(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (4,), channels=1, layout="blocks")

    colour = read_images(manifest, [2], image_size=8, image_channels=3)
    grey = read_images(manifest, [2], image_size=8)

    assert grey.shape == (1, 1, 8, 8)
    assert torch.equal(colour, grey.expand(1, 3, 8, 8))


def test_centre_crop_takes_the_middle_and_other_sizes_are_refused(manifest: Manifest) -> None:
    cropped = read_images(manifest, [1], image_size=4, crop="centre")

    assert torch.equal(cropped, expected(np.array([1]))[:, :, 2:6, 2:6])
    with pytest.raises(InputError, match=r"images of 8 pixels, the model wants 4.*data\.crop=centre"):
        read_images(manifest, [1], image_size=4)
    with pytest.raises(InputError, match="too small to cut 16"):
        read_images(manifest, [1], image_size=16, crop="centre")


def test_images_labels_and_keys_are_read_by_position(manifest: Manifest) -> None:
    assert torch.equal(read_images(manifest, 23, image_size=8), expected(np.arange(23)))
    assert read_labels(manifest).tolist() == [i % 10 for i in range(23)]
    assert read_keys(manifest) == [f"s{i:05d}" for i in range(23)]


def test_a_plan_of_other_shards_is_refused(manifest: Manifest) -> None:
    plan = ShardPlan(shard_samples=(23,), batch_size=4, streams=2)

    with pytest.raises(InputError, match="not made for the shards"):
        stream_batches(manifest, plan, rank=0, world_size=1, image_size=8)
