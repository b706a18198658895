"""Every image of a data set once, in order."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.schema import Layout, Manifest
from dcgan_dist.data.stream import read_images
from tests.helpers.shards import damage_sample, write_shards


@pytest.fixture(params=["samples", "blocks"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> Manifest:
    layout: Layout = request.param
    return write_shards(tmp_path, (20, 20, 10), layout=layout, labelled=False)


@pytest.mark.parametrize(("batch_size", "sizes"), [(7, [7] * 7 + [1]), (64, [50])])
def test_every_image_comes_once_in_order_whatever_the_batches(
    manifest: Manifest, batch_size: int, sizes: list[int]
) -> None:
    batches = list(scan_images(manifest, image_size=8, batch_size=batch_size))

    assert [len(batch.images) for batch in batches] == sizes
    assert torch.equal(torch.cat([batch.images for batch in batches]), read_images(manifest, 50, image_size=8))
    assert batches[0].labels is None


def test_some_positions_are_read_alone(manifest: Manifest) -> None:
    chosen = np.array([0, 3, 19, 20, 44, 49])

    batches = list(scan_images(manifest, image_size=8, batch_size=4, positions=chosen))

    assert [len(batch.images) for batch in batches] == [4, 2]
    expected = read_images(manifest, chosen.tolist(), image_size=8)
    assert torch.equal(torch.cat([batch.images for batch in batches]), expected)


def test_bad_samples_are_left_out_and_reported(manifest: Manifest) -> None:
    expected = read_images(manifest, [i for i in range(50) if i != 23], image_size=8)
    damage_sample(manifest, 23)
    bad: list[BadSample] = []

    batches = scan_images(manifest, image_size=8, on_bad_sample=bad.append)

    assert torch.equal(torch.cat([batch.images for batch in batches]), expected)
    assert [sample.position for sample in bad] == [23]
