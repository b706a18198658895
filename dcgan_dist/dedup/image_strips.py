"""Near duplicates side by side, for people to judge."""

import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dcgan_dist.cli.html_page import figure
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import Representatives

HEIGHT = 96
SHOWN = 8
"""Images of a group that are shown."""

Name = Callable[[int], str]
"""Row -> key."""


def pair_strips(corpus: Corpus, name: Name, pairs: ScoredPairs, *, mirrored: bool = False) -> list[Markup]:
    """Pairs with their distances and scores; the first image of each mirrored if asked for."""
    images = read_rows(corpus, np.concatenate([pairs.first, pairs.second]).tolist())
    return [
        figure(
            strip([ImageOps.mirror(images[a]) if mirrored else images[a], images[b]]),
            f"{name(a)} | {name(b)}: {distance} bits, score {score:.3f}",
        )
        for a, b, distance, score in zip(*(column.tolist() for column in pairs), strict=True)
    ]


def cluster_strips(corpus: Corpus, name: Name, chosen: Representatives, n: int) -> list[Markup]:
    """Clusters drawn at random, at most n, the image that stays first."""
    clusters = members(chosen.leaders)
    drawn = np.sort(np.random.default_rng(0).permutation(len(clusters))[:n])
    groups = [
        sorted(clusters[number].tolist(), key=lambda row: row != chosen.leaders[row]) for number in drawn.tolist()
    ]
    images = read_rows(corpus, [row for group in groups for row in group[:SHOWN]])
    return [
        figure(
            strip([images[row] for row in group[:SHOWN]]),
            f"{name(group[0])} stays; {len(group) - 1} go: {', '.join(name(row) for row in group[1:SHOWN])}",
        )
        for group in groups
    ]


def read_rows(corpus: Corpus, rows: Iterable[int]) -> dict[int, Image.Image]:
    """Images of some rows at a common height."""
    by_shard: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in sorted(set(rows)):
        part, shard, sample = corpus.find(row)
        by_shard.setdefault((part, shard), []).append((row, sample))
    images = {}
    for (part, shard), wanted in by_shard.items():
        with ShardSamples(corpus.parts[part].manifest, shard) as samples:
            images |= {row: _at_height(samples.read(sample).pixels()) for row, sample in wanted}
    return images


def _at_height(pixels: NDArray[np.uint8]) -> Image.Image:
    colour = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(colour))
    width = max(1, round(image.width * HEIGHT / image.height))
    few_pixels = image.height * 2 <= HEIGHT
    return image.resize((width, HEIGHT), Image.Resampling.NEAREST if few_pixels else Image.Resampling.BICUBIC)


def strip(images: Sequence[Image.Image]) -> bytes:
    """Images in a row as one JPEG file."""
    sheet = Image.new("RGB", (sum(image.width + 4 for image in images) - 4, HEIGHT), "white")
    x = 0
    for image in images:
        sheet.paste(image, (x, 0))
        x += image.width + 4
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
