"""CIFAR-10's test and training images, known by the numbers in their keys, and pairs of them that people judged."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.errors import InputError

Truth = dict[tuple[int, int], bool]
"""(a test image, a training image) -> the same photograph."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Test and training thumbnails of the comparison."""

    table: ThumbnailTable
    test_rows: NDArray[np.int64]
    train_rows: NDArray[np.int64]
    test_at: dict[int, int]
    """Number in the key -> place among the test images."""
    train_at: dict[int, int]
    truth: Truth = field(repr=False)
    """(place of a test image, place of a training image) -> the same photograph."""

    @property
    def duplicated(self) -> NDArray[np.bool_]:
        """(test images,) which of them have a judged duplicate."""
        rows = [test for (test, _), alike in self.truth.items() if alike]
        return np.bincount(rows, minlength=len(self.test_rows)) > 0


def image_numbers(keys: str) -> dict[str, int]:
    """Split (train, test) -> number in the key, of a key train/ID_.. or test/ID_.., or of two in two lines."""
    return {split: int(number) for split, number in re.findall(r"\b(train|test)/(\d+)_", keys)}


def read_judged(path: Path) -> Truth:
    """Judged pairs by their numbers, from a CSV of TestID, TrainID, Judgment (0 and 1: the same photograph)."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                (int(row["TestID"]), int(row["TrainID"])): int(row["Judgment"]) <= 1 for row in csv.DictReader(file)
            }
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"--judged {path} cannot be read ({error}): give a CSV of TestID, TrainID, Judgment"
        ) from error


def select(corpus: Corpus, pictures: ThumbnailTable, judged: Sequence[Truth], numbers: range) -> Images:
    """The test images whose duplicates were judged, all training images, and what was judged of them.

    The first of `judged` that names a pair counts; only test images of a parity (even, odd) that it has are taken.

    Raises:
        InputError: there are no such images, or no duplicates among them.
    """
    parities = {test % 2 for test, _ in judged[0]}
    test = [i for i in numbers if i % 2 in parities]
    rows = _rows_by_number(corpus)
    test, train = [i for i in test if i in rows["test"]], sorted(rows["train"])
    if not test or not train:
        raise InputError("--shards and --protect hold no test/ID_.. or no train/ID_..: give the tars of CIFAR-10")
    test_at, train_at = ({number: at for at, number in enumerate(numbers)} for numbers in (test, train))
    truth: Truth = {}
    for pairs in judged:
        for (a, b), alike in pairs.items():
            if a in test_at and b in train_at:
                truth.setdefault((test_at[a], train_at[b]), alike)
    if not any(truth.values()):
        raise InputError(
            "--judged names no duplicates among these images: give other files or a wider --first and --end"
        )
    return Images(
        table=pictures,
        test_rows=np.array([rows["test"][i] for i in test]),
        train_rows=np.array([rows["train"][i] for i in train]),
        test_at=test_at,
        train_at=train_at,
        truth=truth,
    )


def _rows_by_number(corpus: Corpus) -> dict[str, dict[int, int]]:
    """Split (train, test) -> number in the key -> row."""
    rows: dict[str, dict[int, int]] = {"train": {}, "test": {}}
    for shard, start in zip(corpus.shards, corpus.starts.tolist(), strict=False):
        with ShardSamples(corpus.parts[shard.part].manifest, shard.number) as samples:
            for row, key in enumerate(samples.keys, start):
                for split, number in image_numbers(key).items():
                    rows[split][number] = row
    return rows
