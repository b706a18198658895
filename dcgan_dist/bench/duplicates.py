"""Codes compared with judged pairs of CIFAR-10: ours, the paper's, signs of principal components, perceptual hashes.

python -m dcgan_dist.bench duplicates --shards train/*.tar --protect test/*.tar --judged judged.csv --out dedup/cifar10

--out may be that of a finished de-duplication: its thumbnails and coders are used, and its pairs are a row of the table
(code and verifier). pHash and dHash need `pip install -e .[benchmarks]`; without it they are left out.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.bench.average_precision import Ranking, rank_images, rank_pairs
from dcgan_dist.bench.duplicates_codes import Codes, codes_by_method
from dcgan_dist.bench.judged_pairs import Images, image_numbers, read_judged, select
from dcgan_dist.cli.command_line import absolute, parse
from dcgan_dist.cli.result_file import RESULT_NAME, write_json
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.make_shards import make_all_pictures
from dcgan_dist.dedup.picture_table import PictureTable
from dcgan_dist.dedup.result import PAIRS_NAME

BLOCK = 64
FIGURES = ("image_ap", "image_recall_99", "pair_ap_left_out", "pair_ap_wrong", "recall_99_left_out", "recall_99_wrong")


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicatesBenchmark:
    """What is compared."""

    shards: list[str]
    """Tars of the training images, whose keys are train/ID_CLASS."""
    protect: list[str]
    """Tars of the test images, whose keys are test/ID_CLASS."""
    judged: list[str]
    """CSVs of TestID, TrainID, Judgment (0 and 1: the same photograph); the first that names a pair counts. Only test ids of
    a parity (even, odd) that the first file has are compared."""
    out: str
    """Folder of thumbnails and coders: that of a finished job, or a new one."""
    paper: bool = False
    """Also the paper's autoencoder, trained where --out has none."""
    first: int = 0
    """Only test ids from here."""
    end: int = 10_000
    """Only test ids below this."""
    cpus: int = 1
    """As in the job."""
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Compare and print."""
    options = parse(
        DuplicatesBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench duplicates"
    )
    out = Path(absolute(options.out, "out"))
    corpus = open_corpus(
        [absolute(path, "shards") for path in options.shards],
        [absolute(path, "protect") for path in options.protect],
    )
    out.mkdir(parents=True, exist_ok=True)
    make_all_pictures(corpus, out, options.cpus, print)
    judged = [read_judged(Path(path)) for path in options.judged]
    images = select(corpus, PictureTable.of(corpus, out), judged, range(options.first, options.end))
    same = sum(images.truth.values())
    result: dict[str, Any] = {
        "test_images": len(images.test_rows),
        "train_images": len(images.train_rows),
        "judged_pairs": len(images.truth),
        "same_photograph": same,
        "test_images_with_one": len({test for (test, _), alike in images.truth.items() if alike}),
        "methods": {
            name: figures(rank(images, *codes)) for name, codes in codes_by_method(images, out, paper=options.paper)
        },
    }
    if (out / RESULT_NAME).exists() and json.loads((out / RESULT_NAME).read_text(encoding="utf-8"))[
        "codes"
    ] == "recommended":
        result["methods"]["recommended + verifier"] = figures(verified(images, out / PAIRS_NAME))
    print(table(result))
    print(json.dumps(result, indent=1))
    write_json(options.json, result)
    return 0


def rank(images: Images, test: Codes, train: Codes) -> tuple[Ranking, Ranking, Ranking]:
    """Test images by their nearest training image; judged pairs; all pairs: by Hamming distance."""
    bits = 8 * test.shape[1]
    words_test, words_train = (codes.view(np.uint64) for codes in (test, train))
    nearest, histogram = np.empty(len(test), np.int64), np.zeros(bits + 1, np.int64)
    for first in range(0, len(test), BLOCK):
        apart = np.zeros((len(words_test[first : first + BLOCK]), len(train)), np.uint16)
        for word in range(words_test.shape[1]):
            apart += np.bitwise_count(words_test[first : first + BLOCK, word, None] ^ words_train[:, word])
        nearest[first : first + BLOCK] = apart.min(1)
        histogram += np.bincount(apart.ravel(), minlength=bits + 1)
    pairs = np.array(sorted(images.truth))
    apart = np.bitwise_count(test[pairs[:, 0]] ^ train[pairs[:, 1]]).sum(1, dtype=np.int64)
    alike = np.array([images.truth[a, b] for a, b in pairs.tolist()])
    unjudged = histogram - np.bincount(apart, minlength=bits + 1)
    return rank_images(nearest, _has_duplicate(images)), rank_pairs(apart, alike), rank_pairs(apart, alike, unjudged)


def verified(images: Images, path: Path) -> tuple[Ranking, Ranking, Ranking]:
    """The same by the scores of a finished job's candidates; what was no candidate ranks last and finds nothing."""
    best = np.full(len(images.test_rows), 2000, np.int64)
    cost, found = [], []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ids = image_numbers(f"{row['key_a']}\n{row['key_b']}")
            if len(ids) == 2 and ids["test"] in images.test_at:
                pair = images.test_at[ids["test"]], images.train_at[ids["train"]]
                cost.append(round(1000 * (1 - float(row["score"]))))
                found.append(pair)
                best[pair[0]] = min(best[pair[0]], cost[-1])
    apart = np.array(cost, np.int64)
    known = np.array([pair in images.truth for pair in found], bool)
    alike = np.array([images.truth.get(pair, False) for pair in found], bool)
    total = sum(images.truth.values())
    unjudged = np.bincount(apart[~known], minlength=2001)
    return (
        rank_images(best, _has_duplicate(images), missing=2000),
        rank_pairs(apart[known], alike[known], total=total),
        rank_pairs(apart[known], alike[known], unjudged, total=total),
    )


def figures(rankings: tuple[Ranking, Ranking, Ranking]) -> dict[str, float]:
    """FIGURES of the three rankings."""
    image, left_out, wrong = rankings
    values = (image.average_precision, image.recall_at(0.99), left_out.average_precision, wrong.average_precision)
    return dict(zip(FIGURES, (*values, left_out.recall_at(0.99), wrong.recall_at(0.99)), strict=True))


def table(result: dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = [
        f"{result['test_images']:,} test images against {result['train_images']:,}; "
        f"{result['same_photograph']} of {result['judged_pairs']} judged pairs show the same photograph",
        f"{'':30}" + "".join(f"{name:>20}" for name in FIGURES),
    ]
    for name, row in result["methods"].items():
        lines.append(f"{name:30}" + "".join(f"{row[figure]:20.3f}" for figure in FIGURES))
    return "\n".join(lines)


def _has_duplicate(images: Images) -> NDArray[np.bool_]:
    found = np.zeros(len(images.test_rows), bool)
    found[[test for (test, _), alike in images.truth.items() if alike]] = True
    return found
