"""SVHN cropped digits: the official .mat files, in their order; the label 10 of the files becomes class 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from dcgan_dist.errors import InputError, require
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays


@dataclass(frozen=True, kw_only=True)
class SvhnSource(LabelledSource):
    """Digits of train_32x32.mat, test_32x32.mat and, where wanted, extra_32x32.mat."""

    path: str
    """Folder with the .mat files, or one of them."""
    extra: bool = False
    """Append the 531,131 easier digits of extra_32x32.mat to the train split."""
    dataset: str = "svhn"

    def origin(self) -> dict[str, Any]:
        """Whether the extra digits are among them."""
        return {"extra": self.extra}

    def read_splits(self) -> list[SplitArrays]:
        """As `LabelledSource`; the extra digits are part of the train split."""
        root = Path(self.path).expanduser()
        files = [root] if root.is_file() else sorted(root.rglob("*_32x32*.mat"))
        parts = {kind: _read_mat(file) for file in files for kind in [file.name.partition("_")[0]]}
        train = [parts[kind] for kind in ("train", *(("extra",) if self.extra else ())) if kind in parts]
        splits = [("train", train), ("test", [parts["test"]] if "test" in parts else [])]
        arrays = [
            SplitArrays(split, *(np.concatenate(column) for column in zip(*files, strict=True)))
            for split, files in splits
            if files
        ]
        if not arrays:
            raise InputError(
                f"`source` {self.path} has no train_32x32.mat or test_32x32.mat: fetch SVHN's cropped digits"
            )
        return arrays


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) uint8 and labels (n,) from 0."""
    try:
        content = loadmat(str(path), variable_names=["X", "y"])
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].reshape(-1).astype(np.int64)
    except (ValueError, KeyError, OSError, NotImplementedError, MatReadError) as error:
        raise InputError(f"{path} is not a .mat file of SVHN's cropped digits ({error}): fetch it again") from error
    require(
        images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3),
        f"{path} holds {images.dtype} images of shape {images.shape[1:]}, SVHN's are uint8 (32, 32, 3): fetch it again",
    )
    require(
        len(images) == len(labels),
        f"{path} holds {len(images):,} images and {len(labels):,} labels: fetch it again",
    )
    wrong = labels[(labels < 0) | (labels > 10)]
    require(not len(wrong), f"{path} has labels such as {wrong[:1]}, SVHN's are 1 to 10: fetch it again")
    return images, labels % 10
