"""The stream hands out exactly the plan's rows, whatever the world size and wherever it begins."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.schema import Layout, Manifest
from dcgan_dist.data.stream import BadSampleLog, read_images, read_keys, read_labels
from dcgan_dist.errors import InputError
from tests.helpers.shards import damage_sample, make_plan, pixels_of, planned, take, write_shards


@pytest.fixture(params=["samples", "blocks"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> Manifest:
    layout: Layout = request.param
    return write_shards(tmp_path / "shards", (7, 11, 5), layout=layout)


def expected(positions: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([pixels_of(int(i)).transpose(2, 0, 1) for i in positions]))


def test_batches_hold_the_plan_s_images_and_labels_across_epochs(manifest: Manifest) -> None:
    plan = make_plan(manifest)

    batches = take(manifest, plan, 2 * plan.steps_per_epoch + 1)

    for step, batch in enumerate(batches):
        positions = planned(plan, step)
        assert torch.equal(batch.images, expected(positions))
        assert batch.labels is not None
        assert batch.labels.tolist() == (positions % 10).tolist()


def test_closing_leaves_no_thread(manifest: Manifest) -> None:
    before = threading.active_count()

    take(manifest, make_plan(manifest), 2)

    assert threading.active_count() == before


@pytest.mark.parametrize("place", [0, 3])
def test_a_damaged_sample_is_replaced_by_the_previous_good_one_of_its_stream(manifest: Manifest, place: int) -> None:
    plan = make_plan(manifest)
    victim = int(plan.stream(0, 1)[place])
    stand_in = int(plan.stream(0, 1)[place - 1 if place else 1])
    shard = damage_sample(manifest, victim)
    bad: list[BadSample] = []

    batches = take(manifest, plan, plan.steps_per_epoch, on_bad_sample=bad.append)

    step, row = place // plan.rows_per_stream, plan.rows_per_stream + place % plan.rows_per_stream
    assert torch.equal(batches[step].images[row], expected(np.array([stand_in]))[0])
    assert [(sample.shard, sample.key, sample.position) for sample in bad] == [(shard, f"s{victim:05d}", victim)]
    assert "crc32" in bad[0].fault


def test_too_many_bad_samples_stop_the_run_with_their_list() -> None:
    log = BadSampleLog(0.1, samples=20)
    bad = [BadSample(shard="a.tar", key=f"k{i}", position=i, offset=512, fault="crc32") for i in range(3)]

    for sample in (*bad[:2], bad[0]):
        log(sample)
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
        take(manifest, plan, 1)
