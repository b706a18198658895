"""Near duplicates side by side, for people to judge."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus

HEIGHT = 96
SHOWN = 8
"""Images of a group that are shown."""


def read_rows(corpus: Corpus, rows: Iterable[int]) -> dict[int, Image.Image]:
    """Images of some rows at a common height."""
    by_shard: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in sorted(set(rows)):
        part, shard, sample = corpus.find(row)
        by_shard.setdefault((corpus.parts.index(part), shard), []).append((row, sample))
    images = {}
    for (part, shard), wanted in by_shard.items():
        with ShardSamples(corpus.parts[part].manifest, shard) as samples:
            for row, sample in wanted:
                pixels = samples.read(sample).pixels()
                colour = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
                images[row] = _at_height(Image.fromarray(np.ascontiguousarray(colour)))
    return images


def _at_height(image: Image.Image) -> Image.Image:
    width = max(1, round(image.width * HEIGHT / image.height))
    few_pixels = image.height * 2 <= HEIGHT
    return image.resize((width, HEIGHT), Image.Resampling.NEAREST if few_pixels else Image.Resampling.BICUBIC)


def strip(images: Sequence[Image.Image]) -> bytes:
    """Images in a row as one JPEG file."""
    shown = images[:SHOWN]
    sheet = Image.new("RGB", (sum(image.width + 4 for image in shown) - 4, HEIGHT), "white")
    left = 0
    for image in shown:
        sheet.paste(image, (left, 0))
        left += image.width + 4
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
