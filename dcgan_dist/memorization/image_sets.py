"""The images that are compared, as thumbnails: read as training saw them, and shrunk all in one way."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.cluster.tasks import map_tasks
from dcgan_dist.data.shards.images import ImageFault, resize_and_crop, to_array
from dcgan_dist.errors import InputError, require
from dcgan_dist.memorization.check_options import Crop
from dcgan_dist.memorization.image_sources import ImageSource, OpenSource, Role, Rows, open_sources
from dcgan_dist.memorization.row_file import RowFile
from dcgan_dist.similarity.thumbnails import SIDE, thumbnails

Pixels = NDArray[np.uint8]
LEAST_TRAIN = 9
"""Training images that a code of 8 bits is learnt from."""
MOST_HELD_OUT = 20_000
"""More of them would make the detection limit hardly smaller, and each is compared with every training image."""
MOST_WAITING_BYTES = 1 << 24
PER_TASK, TASKS_AHEAD = 10_000, 100
"""Images of shards that a task reads, and tasks of which all results may wait for the first one's."""
MOST_BAD = 0.01
"""Greatest share of images that may be unreadable."""
NAMED = 5
"""Unreadable images that the log names."""

_log = logging.getLogger(__name__)


class Unreadable(NamedTuple):
    """An image that was left out, and why."""

    key: str
    fault: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """The images that are compared."""

    images: RowFile[np.uint8]
    """(n, 3, 32, 32)"""
    side: int
    """Pixels per side of the squares they were made from; 0 where these differed."""
    sha256: str
    """Hash of the thumbnails' bytes."""
    manifest: str
    """Hash of the manifest they were read from; empty where there is none."""
    given: int
    """Images that there are; perhaps more than were taken."""
    unreadable: tuple[Unreadable, ...]
    """Those of the taken ones that are left out."""

    def __len__(self) -> int:
        return len(self.images)


def read_image_set(
    sources: ImageSource | Sequence[ImageSource], role: Role, *, side: int = 0, crop: Crop = "resize"
) -> ImageSet:
    """Read images as training saw them, and shrink them all in one way.

    Args:
        sources: one or several of shards (folder, manifest or URI), folders, tars or zips of images, .npy or .npz files of
            uint8 images, folders with the official files of CIFAR-10, SVHN or MNIST, and arrays in memory, which are
            uint8, (n, c, h, w) or (n, h, w, c). None: an empty set.
        role: where the data has splits, "train" takes train, and "held_out" what is not train, if there is any.
        side: squares of this size are made of all images first, as the generator's are; 0: as large as they are.
        crop: how; "resize" brings the shorter side to it and cuts the centre out, "centre" only cuts.

    Raises:
        InputError: nothing there, or more than 1 % of the images are unreadable, or too small to be cut.
    """
    return read_opened(open_sources(sources, role), role, side=side, crop=crop)


def read_opened(
    opened: Sequence[OpenSource], role: Role, *, side: int = 0, crop: Crop = "resize", most: int = 0, cpus: int = 1
) -> ImageSet:
    """As `read_image_set`; of more than `most` images so many are taken, spread evenly, and with 0 all.

    Those of shards are read by `cpus` tasks at once, as in `run_tasks`.
    """
    places, given = ", ".join(source.name for source in opened), sum(source.count for source in opened)
    taken = np.arange(given) if not 0 < most < given else np.linspace(0, given - 1, most).astype(np.int64)
    images, sha256 = RowFile((3, SIDE, SIDE), np.uint8), hashlib.sha256()
    sides, unreadable, first = set[int](), list[Unreadable](), 0
    for source in opened:
        rows = taken[(taken >= first) & (taken < first + source.count)] - first
        first += source.count
        parts = _read_parts(source, rows, side, crop, cpus)
        with tqdm(desc=f"{role} {Path(source.name).name}", total=len(rows), unit=" images", delay=5) as bar:
            for part in parts:
                images.append(part.images)
                sha256.update(part.images.tobytes())
                sides |= {part.side} - {0}
                unreadable += part.unreadable
                bar.update(len(part.images) + len(part.unreadable))
                if len(unreadable) > MOST_BAD * len(taken):
                    key, fault = unreadable[-1]
                    raise InputError(
                        f"more than {MOST_BAD:.0%} of the {len(taken):,} images in {places} cannot be read, {key} for one "
                        f"({fault}): copy them again"
                    )
    _say(role, given, len(images), unreadable)
    return ImageSet(
        images=images,
        side=sides.pop() if len(sides) == 1 else 0,
        sha256=sha256.hexdigest(),
        manifest=opened[0].manifest if len(opened) == 1 else "",
        given=given,
        unreadable=tuple(unreadable),
    )


def _say(role: Role, given: int, taken: int, unreadable: Sequence[Unreadable]) -> None:
    """What was not taken of a set."""
    if taken + len(unreadable) < given:
        _log.info("%s of %s images for %s are taken, spread evenly", f"{taken:,}", f"{given:,}", role)
    if unreadable:
        named = "; ".join(f"{key}: {fault}" for key, fault in unreadable[:NAMED])
        more = "; ..." if len(unreadable) > NAMED else ""
        _log.warning(
            "%s images for %s cannot be read and are left out: %s%s", f"{len(unreadable):,}", role, named, more
        )


class _Part(NamedTuple):
    """Some images of a source that were read."""

    images: Pixels = np.empty((0, 3, SIDE, SIDE), np.uint8)
    """(n, 3, 32, 32), made from squares of one size."""
    side: int = 0
    """Pixels per side of these; 0 where there is none."""
    unreadable: tuple[Unreadable, ...] = ()


def _read_parts(source: OpenSource, rows: Rows, side: int, crop: Crop, cpus: int) -> Iterator[_Part]:
    """The images of some rows, in their order."""
    read = partial(_shrunk, source, side, crop)
    if not source.manifest or cpus == 1 or len(rows) <= PER_TASK:
        return read(rows)
    tasks = [rows[start : start + PER_TASK] for start in range(0, len(rows), PER_TASK)]
    rounds = [tasks[start : start + TASKS_AHEAD] for start in range(0, len(tasks), TASKS_AHEAD)]
    join_cluster()
    return (
        part for some in rounds for parts in map_tasks(lambda rows: [*read(rows)], some, cpus=cpus) for part in parts
    )


def _shrunk(source: OpenSource, side: int, crop: Crop, rows: Rows) -> Iterator[_Part]:
    squares: list[Pixels] = []
    for key, image in source.read(rows):
        try:
            square = _square(image, side, crop).transpose(2, 0, 1)
        except ImageFault as fault:
            yield _Part(unreadable=(Unreadable(key, str(fault)),))
            continue
        if squares and (squares[0].shape != square.shape or len(squares) * square.nbytes > MOST_WAITING_BYTES):
            yield _Part(thumbnails(np.stack(squares)), squares[0].shape[1])
            squares.clear()
        squares.append(square)
    if squares:
        yield _Part(thumbnails(np.stack(squares)), squares[0].shape[1])


class RealImages:
    """Training and held-out images, found before any of them is read."""

    def __init__(
        self, train: ImageSource | Sequence[ImageSource], held_out: ImageSource | Sequence[ImageSource]
    ) -> None:
        """Find them, in the forms of `read_image_set`.

        Raises:
            InputError: something is missing, or there are fewer than 9 training images.
        """
        self._train, given = open_sources(train, "train"), open_sources(held_out, "held_out")
        trained = {source.identity for source in self._train}
        self._held_out = [source for source in given if source.identity not in trained]
        self.held_out = sum(source.count for source in self._held_out)
        self._same = [source for source in given if source.identity in trained]
        count = sum(source.count for source in self._train)
        require(count >= LEAST_TRAIN, f"`train` holds {count} images, at least {LEAST_TRAIN} are needed")

    def read(self, *, side: int, crop: Crop, cpus: int = 1) -> tuple[ImageSet, ImageSet, str]:
        """Training images, at most MOST_HELD_OUT held-out ones, and why there is none of these though some were named.

        What is named for both is not held out: it is left out, as every image of it would be found among the training ones.
        Training images of shards are read by `cpus` tasks at once.

        Raises:
            InputError: as `read_image_set` says.
        """
        train = read_opened(self._train, "train", side=side, crop=crop, cpus=cpus)
        held_out = read_opened(self._held_out, "held_out", side=side, crop=crop, most=MOST_HELD_OUT)
        same = sum(source.count for source in self._same)
        if len(held_out) and held_out.sha256 == train.sha256:
            same, held_out = same + len(held_out), read_opened([], "held_out")
        if not same:
            return train, held_out, ""
        if len(held_out):
            _log.warning("%s of the images named as held out are training images, and left out", f"{same:,}")
            return train, held_out, ""
        fault = (
            f"training and held-out images are the same {same:,} images, so none of them is held out: prepare shards with a "
            "held-out share, or name other images"
        )
        _log.warning("%s", fault)
        return train, held_out, fault


def _square(image: Pixels | ImageFault, side: int, crop: Crop) -> Pixels:
    """(side, side, c) of (h, w, c); the shorter side's where side is 0.

    Raises:
        ImageFault: it is none, is too small to be cut, or one side is so long that it cannot be resized.
    """
    if isinstance(image, ImageFault):
        raise image
    height, width, channels = image.shape
    if (height, width) == (side, side) or (not side and height == width):
        return image
    if crop == "centre" and side:
        if min(height, width) < side:
            raise ImageFault(f"{width} x {height} pixels, {side} x {side} are wanted")
        top, left = (height - side) // 2, (width - side) // 2
        return image[top : top + side, left : left + side].copy()  # a view would keep the whole photograph in memory
    picture = Image.fromarray(image if channels == 3 else image[:, :, 0])
    return to_array(resize_and_crop(picture, side or min(height, width)), channels)
