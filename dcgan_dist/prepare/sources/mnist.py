"""MNIST: the official idx files, plain or gzipped."""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays, require_one_folder
from dcgan_dist.untrusted import refusing, size_of_file

MOST_BYTES = 1 << 30
GZIP_MAGIC = b"\x1f\x8b"
_FILES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, kw_only=True)
class MnistSource(LabelledSource):
    """The 70,000 digits; the last `val` of the training set are the validation split, as the authors cut it."""

    val: int = 10000
    """Training digits held out. Source: the released script trains on the first 50,000."""
    dataset: str = "mnist"
    image_size: int = 28
    image_channels: Literal[1, 3] = 1

    def read_files(self) -> tuple[dict[str, Any], list[SplitArrays]]:
        """How many training digits are held out, and the splits."""
        root = Path(self.path).expanduser()
        splits = []
        for split, prefix in _FILES.items():
            images = _files_named(root, f"{prefix}-images[-.]idx3-ubyte*")
            labels = _files_named(root, f"{prefix}-labels[-.]idx1-ubyte*")
            require_one_folder((*images, *labels), self.path)
            require(
                bool(images) == bool(labels),
                f"`source` {self.path} has {'images' if images else 'labels'} of the {split} split alone: fetch the other file",
            )
            if images:
                pixels = _read_idx(images[0], dimensions=3)[..., None]
                splits.append(SplitArrays(split, pixels, _read_idx(labels[0], dimensions=1).astype(np.int64)))
        require(
            bool(splits),
            f"`source` {self.path} has no train-images-idx3-ubyte (or .gz): give the folder of the idx files",
        )
        if self.val and splits[0].split == "train":
            train = splits[0]
            cut = max(0, len(train.images) - self.val)
            held_out = SplitArrays("val", train.images[cut:], train.labels[cut:])
            splits[:1] = [SplitArrays("train", train.images[:cut], train.labels[:cut]), held_out]
        return {"val": self.val}, splits


def _files_named(root: Path, pattern: str) -> list[Path]:
    """Files right in a folder, else anywhere below it: some archives hold everything once more, each in its own folder."""
    return next(
        (files for walk in (root.glob, root.rglob) if (files := sorted(filter(Path.is_file, walk(pattern))))), []
    )


def _read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """The array of an idx file of bytes: a magic number, the big-endian shape, the data."""
    with refusing(f"{path} is not an MNIST idx file", "fetch it again"):
        size_of_file(path)
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC  # browsers unpack and keep the name
        with gzip.open(path) if packed else path.open("rb") as file:
            magic, *shape = np.frombuffer(file.read(4 * (1 + dimensions)), ">i4").tolist()
            if magic != 0x800 + dimensions:
                raise ValueError(f"it begins with {magic:#x}")
            if min(shape) < 0 or math.prod(shape) > MOST_BYTES or (dimensions == 3 and shape[1:] != [28, 28]):
                raise ValueError(f"its shape is {shape}")
            data = bytearray(file.read(math.prod(shape) + 1))  # no more of a file that unpacks to any size
        return np.frombuffer(data, np.uint8).reshape(shape)
