"""MNIST: the official idx files, plain or gzipped, read by torchvision's own reader."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets.mnist import read_image_file, read_label_file

from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays

_FILES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, kw_only=True)
class MnistSource(LabelledSource):
    """The 70,000 digits; the last `val` of the training set are the validation split, as the authors cut it."""

    path: str
    """Folder with the idx files."""
    val: int = 10000
    """Training digits held out. Source: the released script trains on the first 50,000."""
    dataset: str = "mnist"
    image_size: int = 28
    image_channels: int = 1

    def origin(self) -> dict[str, Any]:
        """How many training digits are held out."""
        return {"val": self.val}

    def read_splits(self) -> list[SplitArrays]:
        """As `LabelledSource`; the validation split is cut from the train split."""
        root = Path(self.path).expanduser()
        splits = []
        for split, prefix in _FILES.items():
            files = [_find(root, f"{prefix}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
            if all(path.name for path in files):
                splits.append(SplitArrays(split, *_read(*files)))
        if not splits:
            raise InputError(
                f"`source` {self.path} has no train-images-idx3-ubyte (or .gz): give the folder of the idx files"
            )
        if self.val and splits[0].split == "train":
            train = splits[0]
            cut = max(0, len(train.images) - self.val)
            held_out = SplitArrays("val", train.images[cut:], train.labels[cut:])
            splits[:1] = [SplitArrays("train", train.images[:cut], train.labels[:cut]), held_out]
        return splits


def _find(root: Path, name: str) -> Path:
    return next(iter(sorted(root.rglob(f"{name}*"))), Path())


def _read(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 28, 28, 1) uint8 and labels (n,)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            pixels = read_image_file(str(_unzipped(images, folder))).numpy()[..., None]
            return pixels, read_label_file(str(_unzipped(labels, folder))).numpy()
        except (ValueError, AssertionError, RuntimeError, OSError, EOFError, KeyError) as error:
            raise InputError(f"{images} or {labels} is not an MNIST idx file ({error}): fetch it again") from error


def _unzipped(path: Path, folder: str) -> Path:
    if path.suffix != ".gz":
        return path
    target = Path(folder) / path.stem
    with gzip.open(path, "rb") as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return target
