"""Photographs where they are at hand, else rooms that the project draws, in the same form: for tests to which both are as good."""

import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import encode_jpeg
from dcgan_dist.prepare.sources.room_drawing import draw_room
from tests.conftest import REAL_DATA
from tests.helpers.tars import tar_of


def drawn_rooms(n: int, size: int = 128) -> NDArray[np.uint8]:
    """(n, size, size, 3)."""
    return np.stack([np.asarray(draw_room(0, number, size)[0]) for number in range(n)])


def members(path: Path, limit: int | None = None) -> dict[str, bytes]:
    """The first files of a tar, by name."""
    with tarfile.open(path) as tar:
        files = [member for member in tar if member.isfile()][:limit]
        return {member.name: tar.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def bedrooms(n: int) -> dict[str, bytes]:
    """JPEG files by name: 128 pixels, or more on the longer side."""
    real = REAL_DATA / "bedrooms" / "houses_bedroom_short128.tar"
    if real.exists():
        return members(real, n)
    return {f"{number:05}.jpg": encode_jpeg(image) for number, image in enumerate(drawn_rooms(n))}


def imagenette(folder: Path) -> Path:
    """A tar of SPLIT/CLASS/NAME.JPEG with at least 200 images; one that is drawn lies in the folder."""
    real = REAL_DATA / "imagenet" / "imagenette_1500_96.tar"
    if real.exists():
        return real
    folder.mkdir(exist_ok=True)
    names = (f"{'val' if number % 5 == 0 else 'train'}/n{number % 3:08}/{number}.JPEG" for number in range(240))
    drawn = zip(names, drawn_rooms(240, 96), strict=True)
    (folder / "drawn.tar").write_bytes(tar_of((name, encode_jpeg(image)) for name, image in drawn))
    return folder / "drawn.tar"
