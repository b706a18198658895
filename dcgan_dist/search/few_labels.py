"""Data sets for supervised learning from few labels: where images are read, and which of them carry a label."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.data.label_draws import (
    CLASSES,
    LABELS_PER_CLASS,
    SVHN_SAMPLES,
    SVHN_VALIDATION,
    check_labels,
    check_svhn,
    draw_labels,
    validation_split,
)
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.storage.uri import is_uri

DIGITS = "digits"
DIGITS_TEST = 400
IMAGE_SIZE = 32
SMALL_VALIDATION_SHARE = 0.2

Protocol = Literal["paper", "small", "digits"]


class LabelledImages(NamedTuple):
    images: NDArray[np.uint8]
    """(n, 3, 32, 32)."""
    labels: NDArray[np.int64]
    """(n,) from 0."""

    def at(self, positions: NDArray[np.int64]) -> "LabelledImages":
        """The images at some positions, with their labels."""
        return LabelledImages(self.images[positions], self.labels[positions])


class Draw(NamedTuple):
    """One draw of labelled images, and the images that choices are made on."""

    train: LabelledImages
    validation: LabelledImages


@dataclass(frozen=True, kw_only=True, eq=False)
class FewLabels:
    """A data set with its protocol."""

    protocol: Protocol
    train: LabelledImages
    """Everything that labels and validation images are drawn from."""
    test: LabelledImages | None
    """Never in a draw."""
    validation: NDArray[np.int64] | None
    """Positions in train, the same for all draws; None: all that a draw does not take."""
    pool: NDArray[np.int64]
    """Positions in train from which labels are drawn."""
    per_class: int = LABELS_PER_CLASS
    """Labels of each class."""
    seed: int
    """Decides the split and the draws."""
    deviations: tuple[str, ...] = ()
    """In what this is not the paper's protocol, a sentence each; empty: it is."""

    def draw(self, number: int) -> Draw:
        """Labelled and validation images of one draw, a function of seed and number.

        Raises:
            InputError: a class has too few images.
        """
        drawn = draw_labels(self.train.labels, self.pool, per_class=self.per_class, seed=self.seed, draw=number)
        validation = np.setdiff1d(self.pool, drawn) if self.validation is None else self.validation
        return Draw(self.train.at(drawn), self.train.at(validation))

    @property
    def dataset(self) -> str:
        """Which images these are: svhn or digits."""
        return DIGITS if self.protocol == "digits" else "svhn"

    @property
    def labels(self) -> int:
        """Labelled images of a draw."""
        return CLASSES * self.per_class

    @property
    def validation_images(self) -> int:
        """Images that choices are made on."""
        return len(self.pool) - self.labels if self.validation is None else len(self.validation)

    @property
    def hash(self) -> str:
        """SHA-256 over images, labels, and what is drawn from them, in hex."""
        digest = hashlib.sha256(f"{self.protocol} {self.per_class} {self.seed}".encode())
        for array in (*self.train, *(self.test or ()), self.pool):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def describe(self) -> str:
        """What is learnt from and measured on, in one line."""
        test = f"{len(self.test.labels):,} test images" if self.test else "no test images"
        return (
            f"{self.dataset} ({self.protocol}): {self.labels:,} labels ({self.per_class} per class) of {len(self.pool):,} "
            f"images, {self.validation_images:,} validation images, {test}"
        )


def open_few_labels(path: str, *, protocol: Literal["paper", "small"] = "paper", seed: int = 0) -> FewLabels:
    """Read a data set and check it against its protocol.

    Args:
        path: `digits`; or SVHN as its .mat files (a folder or one of them), or as shards that were made of them.
        protocol: paper: the complete SVHN, 100 labels per class, 10,000 validation images. small: whatever there is, a
            fifth of it for validation, for half of the rarest class's images labels of each class, at most 100.
        seed: of the validation split and of all draws.

    Raises:
        InputError: nothing there, a missing split, another number of images than SVHN has, images without a label, or
            too few of a class.
    """
    return _digits(seed) if path == DIGITS else few_labels(read_splits(path), protocol=protocol, seed=seed)


def few_labels(
    splits: dict[str, LabelledImages], *, protocol: Literal["paper", "small"] = "paper", seed: int = 0
) -> FewLabels:
    """As `open_few_labels`, from splits in memory by their names."""
    require("train" in splits, f"the data has no train split, only {', '.join(splits)}: give the complete data set")
    data = _svhn(splits, seed) if protocol == "paper" else _small(splits, seed)
    data.draw(0)  # refuses a class that is too rare
    return data


def read_splits(path: str) -> dict[str, LabelledImages]:
    """Splits by name, wholly in memory, of SVHN's .mat files (a folder or one of them) or of labelled shards.

    Raises:
        InputError: nothing there, damaged, images of another size than 32 pixels, no labels.
    """
    if not is_uri(path) and _is_mat(Path(path).expanduser()):
        return {
            split.split: LabelledImages(np.ascontiguousarray(split.images.transpose(0, 3, 1, 2)), split.labels)
            for split in SvhnSource(path=path).splits
        }
    manifest = load_manifest(path)
    require(
        manifest.classes == CLASSES, f"`data` {path} has {manifest.classes} classes, not {CLASSES}: give SVHN's shards"
    )
    splits = {}
    for name in manifest.splits:
        split = manifest.split(name)
        images = read_images(
            split, split.samples, image_size=IMAGE_SIZE, image_channels=3, on_bad_sample=refuse_bad_sample
        )
        splits[name] = LabelledImages(images.numpy(), read_labels(split).numpy().astype(np.int64))
    return splits


def _is_mat(path: Path) -> bool:
    """Whether it is one of SVHN's files, or a folder of them that holds no shards."""
    if path.is_dir():
        return not (path / MANIFEST_NAME).exists() and any(path.rglob("*_32x32*.mat"))
    return path.suffix == ".mat" and path.exists()


def _svhn(splits: dict[str, LabelledImages], seed: int) -> FewLabels:
    for name in SVHN_SAMPLES:
        require(
            name in splits,
            f"the data has no {name} split, only {', '.join(splits)}: add {name}_32x32.mat, or use `protocol=small`",
        )
        check_svhn(name, splits[name].labels)
    validation, pool = validation_split(len(splits["train"].labels), SVHN_VALIDATION, seed=seed)
    train, test = splits["train"], splits["test"]
    return FewLabels(protocol="paper", train=train, test=test, validation=validation, pool=pool, seed=seed)


def _small(splits: dict[str, LabelledImages], seed: int) -> FewLabels:
    train = splits["train"]
    for name in SVHN_SAMPLES.keys() & splits.keys():
        check_labels(name, splits[name].labels)
    samples = len(train.labels)
    validation, pool = validation_split(samples, max(1, int(samples * SMALL_VALIDATION_SHARE)), seed=seed)
    rarest = int(np.bincount(train.labels[pool], minlength=CLASSES).min())
    per_class = min(LABELS_PER_CLASS, rarest // 2)
    require(
        per_class >= 2,
        f"a class has {rarest} of the {len(pool):,} images that are not for validation, too few to draw labels from: "
        "give a larger data set",
    )
    return FewLabels(
        protocol="small",
        train=train,
        test=splits.get("test"),
        validation=validation,
        pool=pool,
        per_class=per_class,
        seed=seed,
        deviations=(
            f"`protocol=small`: {CLASSES * per_class:,} labels and {len(validation):,} validation images of {samples:,} "
            "train images, not SVHN's 1,000 and 10,000 of 73,257; not comparable",
        ),
    )


def _digits(seed: int) -> FewLabels:
    """Scikit-learn's 1,797 handwritten digits (8 px, 16 grey levels), upscaled to 32 px."""
    from sklearn.datasets import load_digits  # late: seconds, for every process that only holds images

    flat, targets = load_digits(return_X_y=True)
    images = np.stack([_upscale(image) for image in np.asarray(flat).reshape(-1, 8, 8)])
    labels = np.asarray(targets, np.int64)
    test, rest = validation_split(len(labels), DIGITS_TEST, seed=seed)
    digits = LabelledImages(images, labels)
    return FewLabels(
        protocol="digits",
        train=digits.at(rest),
        test=digits.at(test),
        validation=None,
        pool=np.arange(len(rest)),
        seed=seed,
        deviations=(
            "scikit-learn's 1,797 handwritten digits of 8 px, upscaled to 32 px, in the place of SVHN: 1,000 labels, 397 "
            "validation and 400 test images; not comparable",
        ),
    )


def _upscale(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(8, 8) from 0 to 16 to (3, 32, 32) uint8, bilinear."""
    scaled = Image.fromarray((image * (255 / 16)).astype(np.float32))
    large = scaled.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    grey = np.asarray(large).round().clip(0, 255).astype(np.uint8)
    return np.broadcast_to(grey, (3, *grey.shape))
