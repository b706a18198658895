"""Small shards whose truth is known: the image of sample i can be told by its pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from torch import Tensor

from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.manifest import Layout, Manifest, load_manifest, write_manifest
from dcgan_dist.data.shards.writer import Encoding, Sample, write_shard
from dcgan_dist.data.stream import stream_batches


def pixels_of(number: int, size: int = 8, channels: int = 3) -> np.ndarray:
    """(size, size, channels) uint8 noise that belongs to one number."""
    return np.random.default_rng(number).integers(0, 256, (size, size, channels), dtype=np.uint8)


def stored_bytes(number: int) -> bytes:
    """pixels_of(number) as they lie in batches and blocks: channels first."""
    return pixels_of(number).transpose(2, 0, 1).tobytes()


def positions_of(images: Tensor) -> list[int]:
    """Manifest positions of images (b, 3, 8, 8) from shards of at most 100 samples that `write_shards` wrote."""
    return [_position_by_bytes()[image.numpy().tobytes()] for image in images]


@cache
def _position_by_bytes() -> dict[bytes, int]:
    return {stored_bytes(i): i for i in range(100)}


def write_shards(
    folder: Path,
    shard_samples: Sequence[int],
    *,
    layout: Layout = "samples",
    encoding: Encoding = "png",
    size: int = 8,
    channels: int = 3,
    labelled: bool = True,
) -> Manifest:
    """Shards whose sample at position i is pixels_of(i) with key s<i> and label i mod 10."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, first = [], 0
    for number, n in enumerate(shard_samples):
        samples = [
            Sample(key=f"s{i:05d}", pixels=pixels_of(i, size, channels), label=i % 10 if labelled else None)
            for i in range(first, first + n)
        ]
        shard = write_shard(folder / f"t-train-{number:06d}.tar", "train", samples, layout=layout, encoding=encoding)
        assert shard is not None
        shards.append(shard)
        first += n
    manifest = Manifest(
        dataset="t",
        image_size=size,
        image_channels=channels,
        layout=layout,
        shards=tuple(shards),
        classes=10 * labelled,
    )
    write_manifest(manifest, folder)
    return load_manifest(str(folder))


def first_batches(location: str, n: int = 6, loader_workers: int = 0) -> list[Tensor]:
    """Images (4, 3, 8, 8) of the first n batches of shards that `write_shards` wrote."""
    manifest = load_manifest(location)
    plan = ShardPlan(shard_samples=manifest.shard_samples, batch_size=4, streams=2, window=5)
    batches = stream_batches(manifest, plan, rank=0, world_size=1, image_size=8, loader_workers=loader_workers)
    try:
        return [batch.images for batch in itertools.islice(batches, n)]
    finally:
        batches.close()
