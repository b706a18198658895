"""Pictures of a de-duplication: pairs side by side, and clusters with what stays and what goes."""

import io
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dcgan_dist.cli.html_page import figure, gallery
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import Representatives
from dcgan_dist.quality.pictures import GAP_COLOUR

FRAMES = {True: "#2b8a3e", False: "#c92a2a"}
"""Colour around an image that stays, or goes."""
HEIGHT = 96
"""Pixels of the images on a sheet."""
SHOWN = 8
"""Images of a group that are shown, at most."""
PICTURED = 8
"""Pairs on the picture for other pages."""

Name = Callable[[int], str]
"""Key of a row."""


def pair_gallery(
    corpus: Corpus, name: Name, pairs: ScoredPairs, stays: NDArray[np.bool_], *, mirrored: bool = False
) -> Markup:
    """Pairs with what becomes of either image and their scores; the first image of each mirrored if asked for."""
    images = read_rows(corpus, np.concatenate([pairs.first, pairs.second]).tolist())
    return gallery(
        figure(
            sheet([ImageOps.mirror(images[a]) if mirrored else images[a], images[b]], 2),
            f"{_fates([a, b], stays)}, score {score:.3f}",
            title=f"{name(a)} | {name(b)}: {distance} bits",
        )
        for a, b, distance, score in zip(*(column.tolist() for column in pairs), strict=True)
    )


def cluster_gallery(corpus: Corpus, name: Name, chosen: Representatives, duplicates: ScoredPairs, n: int) -> Markup:
    """Clusters drawn at random, at most n, the image that stays first, with the scores of the others beside it."""
    groups, stays = _drawn_clusters(chosen, n), chosen.stays
    images = _framed_images(corpus, stays, groups)
    near = duplicates.where(np.isin(duplicates.first, list(images)) & np.isin(duplicates.second, list(images)))
    scores = {frozenset(pair): score for *pair, _, score in zip(*(column.tolist() for column in near), strict=True)}

    def caption(group: list[int]) -> str:
        beside = [f"{scores[pair]:.3f}" for row in group[1:] if (pair := frozenset((group[0], row))) in scores]
        return _fates(group, stays) + (f", score {', '.join(beside)}" if beside else "")

    return gallery(
        figure(
            sheet([images[row] for row in group], math.ceil(math.sqrt(len(group)))),
            caption(group),
            title=" | ".join(map(name, group)),
        )
        for group in groups
    )


def _fates(rows: Iterable[int], stays: NDArray[np.bool_]) -> str:
    return " | ".join("kept" if stays[row] else "removed" for row in rows)


def removed_picture(corpus: Corpus, chosen: Representatives) -> bytes:
    """A JPEG of a few clusters, two images of each, for other pages; empty where nothing is removed."""
    pairs = [group[:2] for group in _drawn_clusters(chosen, PICTURED)]
    images = _framed_images(corpus, chosen.stays, pairs)
    return sheet([images[row] for pair in pairs for row in pair], 8) if pairs else b""


def _drawn_clusters(chosen: Representatives, n: int) -> list[list[int]]:
    """Rows of clusters drawn at random, at most n, the image that stays first, and at most SHOWN of each."""
    clusters = members(chosen.leaders)
    drawn = np.sort(np.random.default_rng(0).permutation(len(clusters))[:n])
    return [
        sorted(clusters[number].tolist(), key=lambda row: row != chosen.leaders[row])[:SHOWN]
        for number in drawn.tolist()
    ]


def _framed_images(corpus: Corpus, stays: NDArray[np.bool_], groups: Iterable[list[int]]) -> dict[int, Image.Image]:
    images = read_rows(corpus, [row for group in groups for row in group])
    return {row: ImageOps.expand(image, 4, FRAMES[bool(stays[row])]) for row, image in images.items()}


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


def sheet(images: Sequence[Image.Image], columns: int) -> bytes:
    """Images in rows of so many as one JPEG file."""
    width, height = max(image.width for image in images) + 4, max(image.height for image in images) + 4
    page = Image.new("RGB", (columns * width - 4, -(-len(images) // columns) * height - 4), GAP_COLOUR)
    for number, image in enumerate(images):
        page.paste(image, (number % columns * width, number // columns * height))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
