"""Codes compared with judged pairs of CIFAR-10: ours, the paper's, signs of principal components, perceptual hashes.

python -m dcgan_dist.bench duplicates --shards train/*.tar --protect test/*.tar --judged judged.csv --out dedup/cifar10

--out may be that of a finished de-duplication: its thumbnails and coders are used, and its pairs are a row of the table
(code and verifier). pHash and dHash need `pip install -e .[benchmarks]`; without it they are left out.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from dcgan_dist.bench.duplicates_codes import Codes, codes_by_method
from dcgan_dist.bench.harness import Benchmark, table
from dcgan_dist.bench.judged_pairs import Images, image_numbers, read_judged, select
from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.result_file import RESULT_NAME
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.make_shards import make_all_thumbnails
from dcgan_dist.dedup.result import PAIRS_NAME
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable

BLOCK = 64
"""Test images that are compared at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
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


def measure(options: Options) -> dict[str, Any]:
    """Figures of every code, and of the verifier where --out holds a finished job."""
    out = Path(absolute(options.out, "out"))
    corpus = open_corpus(
        [absolute(path, "shards") for path in options.shards],
        [absolute(path, "protect") for path in options.protect],
    )
    out.mkdir(parents=True, exist_ok=True)
    make_all_thumbnails(corpus, out, options.cpus)
    judged = [read_judged(Path(path)) for path in options.judged]
    images = select(corpus, ThumbnailTable.of(corpus, out), judged, range(options.first, options.end))
    methods = {
        name: figures(by_codes(images, *codes)) for name, codes in codes_by_method(images, out, paper=options.paper)
    }
    result = out / RESULT_NAME
    if result.exists() and json.loads(result.read_text(encoding="utf-8"))["codes"] == "recommended":
        methods["recommended + verifier"] = figures(by_scores(images, out / PAIRS_NAME))
    return {
        "test_images": len(images.test_rows),
        "train_images": len(images.train_rows),
        "judged_pairs": len(images.truth),
        "same_photograph": sum(images.truth.values()),
        "test_images_with_one": int(images.duplicated.sum()),
        "methods": methods,
    }


class Ranking(NamedTuple):
    """How well distances rank true pairs before others, ties counted as one step."""

    average_precision: float
    """Sum over distances of the gain in recall times the precision once all of that distance are taken."""
    recall_99: float
    """Greatest recall at a distance to which at least 99 % are true."""


def rank(
    distances: NDArray[np.int64],
    alike: NDArray[np.bool_],
    unjudged: NDArray[np.int64] | None = None,
    *,
    total: int | None = None,
) -> Ranking:
    """A ranking of pairs, or of images by the distance to their nearest.

    Args:
        distances: (n,).
        alike: (n,) which are true.
        unjudged: (d,) number of pairs that nobody judged, by distance; they count as false. None: they are left out.
        total: true ones, where some have no distance; None: all have.
    """
    ranked_share = float(alike.sum() / max(1, alike.sum() if total is None else total))
    if not ranked_share:
        return Ranking(0.0, 0.0)
    others = np.zeros(0, np.int64) if unjudged is None else unjudged
    closeness = -np.concatenate([distances, np.arange(len(others))])
    truth = np.concatenate([alike, np.zeros(len(others), bool)])
    weights = np.concatenate([np.ones(len(distances), np.int64), others])
    precision, recall, _ = precision_recall_curve(truth, closeness, sample_weight=weights)
    average = average_precision_score(truth, closeness, sample_weight=weights)
    return Ranking(ranked_share * average, ranked_share * float(recall[precision >= 0.99].max()))


Rankings = tuple[Ranking, Ranking, Ranking]
"""Test images by their nearest training image; judged pairs; all pairs."""


def by_codes(images: Images, test: Codes, train: Codes) -> Rankings:
    """Rankings by Hamming distance."""
    bits = 8 * test.shape[1]
    words_test, words_train = (codes.view(np.uint64) for codes in (test, train))
    nearest, histogram = [], np.zeros(bits + 1, np.int64)
    for block in np.array_split(words_test, -(-len(test) // BLOCK)):
        distances = np.zeros((len(block), len(train)), np.uint16)
        for word in range(block.shape[1]):
            distances += np.bitwise_count(block[:, word, None] ^ words_train[:, word])
        nearest.append(distances.min(1))
        histogram += np.bincount(distances.ravel(), minlength=bits + 1)
    pairs = np.array(sorted(images.truth))
    distances = np.bitwise_count(test[pairs[:, 0]] ^ train[pairs[:, 1]]).sum(1, dtype=np.int64)
    alike = np.array([images.truth[a, b] for a, b in pairs.tolist()])
    unjudged = histogram - np.bincount(distances, minlength=bits + 1)
    by_image = rank(np.concatenate(nearest).astype(np.int64), images.duplicated)
    return by_image, rank(distances, alike), rank(distances, alike, unjudged)


def by_scores(images: Images, path: Path) -> Rankings:
    """Rankings by the scores of a finished job's candidates; what was no candidate finds nothing."""
    costs: dict[tuple[int, int], int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            ids = image_numbers(f"{row['key_a']}\n{row['key_b']}")
            if len(ids) == 2 and ids["test"] in images.test_at:
                pair = images.test_at[ids["test"]], images.train_at[ids["train"]]
                costs[pair] = round(1000 * (1 - float(row["score"])))
    nearest: dict[int, int] = {}
    for (test, _), cost in costs.items():
        nearest[test] = min(cost, nearest.get(test, cost))
    judged = [pair for pair in costs if pair in images.truth]
    distances, alike = (
        np.array([costs[pair] for pair in judged], np.int64),
        np.array([images.truth[pair] for pair in judged], bool),
    )
    unjudged = np.bincount([cost for pair, cost in costs.items() if pair not in images.truth], minlength=1)
    total = sum(images.truth.values())
    by_image = rank(
        np.array([*nearest.values()], np.int64), images.duplicated[[*nearest]], total=int(images.duplicated.sum())
    )
    return by_image, rank(distances, alike, total=total), rank(distances, alike, unjudged, total=total)


def figures(rankings: Rankings) -> dict[str, float]:
    """Average precision and recall at 99 % precision of the rankings; pairs without a judgment left out, or wrong."""
    image, left_out, wrong = rankings
    return {
        "image_ap": image.average_precision,
        "image_recall_99": image.recall_99,
        "pair_ap_left_out": left_out.average_precision,
        "pair_ap_wrong": wrong.average_precision,
        "recall_99_left_out": left_out.recall_99,
        "recall_99_wrong": wrong.recall_99,
    }


def render(result: dict[str, Any]) -> str:
    """The figures as text."""
    names = next(iter(result["methods"].values()))
    formats = {"code": ""} | dict.fromkeys(names, ".3f")
    return (
        f"{result['test_images']:,} test images against {result['train_images']:,}; "
        f"{result['same_photograph']} of {result['judged_pairs']} judged pairs show the same photograph\n"
        + table(formats, ((name, *row.values()) for name, row in result["methods"].items()))
    )
