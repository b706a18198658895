"""Small shards whose truth is known: the image of sample i can be told by its pixels."""

import itertools
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Layout, Manifest, write_manifest
from dcgan_dist.data.shards.writer import Encoding, Sample, write_shard
from dcgan_dist.data.stream import Batch, stream_batches


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
    channels: Literal[1, 3] = 3,
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


def make_plan(manifest: Manifest, *, batch_size: int = 4, streams: int = 2, window: int = 5, **more: Any) -> ShardPlan:
    """A plan of all shards of a manifest."""
    return ShardPlan(
        shard_samples=manifest.shard_samples, batch_size=batch_size, streams=streams, window=window, **more
    )


def planned(plan: ShardPlan, global_step: int) -> np.ndarray:
    """Manifest positions of one global batch by its plan, in row order: (B,)."""
    epoch, step = plan.epoch_and_step(global_step)
    rows = slice(step * plan.rows_per_stream, (step + 1) * plan.rows_per_stream)
    return np.concatenate([plan.stream(epoch, stream)[rows] for stream in range(plan.streams)])


def take(manifest: Manifest, plan: ShardPlan, n: int, **options: Any) -> list[Batch]:
    """The first n batches of shards with images of 8 pixels, for the only rank unless `options` name another."""
    options = {"rank": 0, "world_size": 1, "image_size": 8} | options
    with closing(stream_batches(manifest, plan, **options)) as batches:
        return list(itertools.islice(batches, n))


def first_batches(location: str, **options: Any) -> Tensor:
    """Images (24, 3, 8, 8) of the first batches of shards that `write_shards` wrote."""
    manifest = load_manifest(location)
    return torch.cat([batch.images for batch in take(manifest, make_plan(manifest), 6, **options)])


def damage_sample(manifest: Manifest, position: int) -> str:
    """Flip a bit in the middle of the image at a manifest position; returns the shard's name."""
    for shard in manifest.shards:
        if position < shard.samples:
            path = Path(manifest.location) / shard.name
            index = decode_index(path.with_name(index_name(shard.name)).read_bytes(), shard.name)
            flip(path, int(index.offsets[position] + index.sizes[position] // 2))
            return shard.name
        position -= shard.samples
    raise AssertionError(position)


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
