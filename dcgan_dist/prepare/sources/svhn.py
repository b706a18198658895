"""SVHN cropped digits: the official .mat files, in their order; the label 10 of the files becomes class 0."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays
from dcgan_dist.prepare.sources.matlab_matrices import read_matrices
from dcgan_dist.untrusted import refusing


@dataclass(frozen=True, kw_only=True)
class SvhnSource(LabelledSource):
    """Digits of train_32x32.mat, test_32x32.mat and, where wanted, extra_32x32.mat; the path may name one of these."""

    extra: bool = False
    """Append the 531,131 easier digits of extra_32x32.mat to the train split."""
    dataset: str = "svhn"

    def read_files(self) -> tuple[dict[str, Any], list[SplitArrays]]:
        """Whether the extra digits are part of the train split, and the splits."""
        root = Path(self.path).expanduser()
        files = [root] if root.is_file() else sorted(root.rglob("*_32x32*.mat"))
        by_kind = {file.name.partition("_")[0]: file for file in files}
        for kind, file in by_kind.items():
            same = [str(other) for other in files if other.name.partition("_")[0] == kind]
            require(
                len(same) < 2, f"`source` {self.path} holds {file.name} several times: name one of {', '.join(same)}"
            )
        require(
            not self.extra or "extra" in by_kind,
            f"`source` {self.path} has no extra_32x32.mat: fetch it, or leave out `extra`",
        )
        splits = []
        for split, kinds in {"train": ("train", "extra") if self.extra else ("train",), "test": ("test",)}.items():
            if arrays := [_read_mat(by_kind[kind]) for kind in kinds if kind in by_kind]:
                splits.append(SplitArrays(split, *map(np.concatenate, zip(*arrays, strict=True))))
        require(
            bool(splits),
            f"`source` {self.path} has no train_32x32.mat or test_32x32.mat: fetch SVHN's cropped digits",
        )
        return {"extra": self.extra}, splits


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) uint8 and labels (n,) from 0."""
    with refusing(f"{path} is not a .mat file of SVHN's cropped digits", "fetch it again"):
        content = read_matrices(path)
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].reshape(-1).astype(np.int64)
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
