"""Which images carry a label in the protocol of few labels, as pure functions of labels and integers.

SVHN (the authors' released script): shuffle train, the first 10,000 are for validation, 100 labels of each class are
drawn from the rest, anew for each repeat. The evaluation of features and the supervised search use the same draws.
"""

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shard_plan import permutation
from dcgan_dist.errors import InputError, require

SVHN_SAMPLES = {"train": 73_257, "test": 26_032}
"""Digits of each official split."""
SVHN_VALIDATION = 10_000
LABELS_PER_CLASS = 100
CLASSES = 10

_VALIDATION, _LABELS = 2, 3  # first word of every seed; the shard plan has 0 and 1


def validation_split(samples: int, validation: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shuffle a train split and cut off the validation images.

    Args:
        samples: images of the split.
        validation: how many of them are for validation.
        seed: of the shuffle.

    Returns:
        Positions (validation,) and positions of the rest (samples - validation,), both in shuffled order.

    Raises:
        InputError: nothing would be left.
    """
    require(
        0 < validation < samples,
        f"{validation:,} validation images cannot be cut off {samples:,}: give a data set with more images, or a smaller "
        "protocol",
    )
    order = permutation(samples, _VALIDATION, seed)
    return order[:validation], order[validation:]


def draw_labels(
    labels: NDArray[np.int64], pool: NDArray[np.int64], *, per_class: int, seed: int, draw: int, classes: int = CLASSES
) -> NDArray[np.int64]:
    """Draw as many images of every class without putting back.

    Args:
        labels: (n,) class number of every image of the split, from 0.
        pool: (m,) positions from which is drawn.
        per_class: images of each class.
        seed: of the protocol.
        draw: number of the draw; each is independent of the others.
        classes: number of classes.

    Returns:
        (classes * per_class,) positions, shuffled: classes are mixed.

    Raises:
        InputError: a class has fewer images in the pool.
    """
    of_pool = labels[pool]
    chosen: list[NDArray[np.int64]] = []
    for number in range(classes):
        of_class = pool[of_pool == number]
        if len(of_class) < per_class:
            raise InputError(
                f"class {number} has {len(of_class)} images to draw {per_class} labels from: give the complete data set, "
                "or a smaller protocol"
            )
        chosen.append(of_class[permutation(len(of_class), _LABELS, seed, draw, number)[:per_class]])
    together = np.concatenate(chosen)
    return together[permutation(len(together), _LABELS, seed, draw, classes)]


def check_svhn(split: str, labels: NDArray[np.int64]) -> None:
    """Raise InputError unless a split has the official number of images, all with labels 0 to 9.

    Args:
        split: "train" or "test".
        labels: (n,) of the split.
    """
    expected = SVHN_SAMPLES[split]
    require(
        len(labels) == expected,
        f"the {split} split has {len(labels):,} images and SVHN's has {expected:,}: give the complete official files (without "
        "the extra digits, prepared without `val_fraction`), or a smaller protocol",
    )
    check_labels(split, labels)


def check_labels(split: str, labels: NDArray[np.int64], classes: int = CLASSES) -> None:
    """Raise InputError if a label is missing or is not the number of a class.

    Args:
        split: for the message.
        labels: (n,), -1 where there is none.
        classes: number of classes.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    require(
        not len(wrong),
        f"the {split} split has {len(wrong):,} images without a label from 0 to {classes - 1} (the first at position "
        f"{wrong[0] if len(wrong) else 0}): prepare the data set again with labels",
    )
