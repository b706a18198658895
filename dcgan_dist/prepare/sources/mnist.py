"""MNIST: the official idx files, plain or gzipped."""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays
from dcgan_dist.untrusted import refusing, size_of_file

MOST_BYTES = 1 << 30
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
            images = sorted(root.rglob(f"{prefix}-images[-.]idx3-ubyte*"))
            labels = sorted(root.rglob(f"{prefix}-labels[-.]idx1-ubyte*"))
            folders = sorted({str(path.parent) for path in (*images, *labels)})
            require(len(folders) < 2, f"`source` {self.path} holds several data sets: name one of {', '.join(folders)}")
            if images and labels:
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


def _read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """The array of an idx file of bytes: a magic number, the big-endian shape, the data."""
    with refusing(f"{path} is not an MNIST idx file", "fetch it again"):
        size_of_file(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, *shape = np.frombuffer(file.read(4 * (1 + dimensions)), ">i4").tolist()
            if magic != 0x800 + dimensions:
                raise ValueError(f"it begins with {magic:#x}")
            if min(shape) < 0 or math.prod(shape) > MOST_BYTES or (dimensions == 3 and shape[1:] != [28, 28]):
                raise ValueError(f"its shape is {shape}")
            data = bytearray(file.read(math.prod(shape) + 1))  # no more of a file that unpacks to any size
        return np.frombuffer(data, np.uint8).reshape(shape)
