"""Nearest training images of many images, and how alike they are."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.memorization.encoded_images import EncodedImages, Thumbnails
from dcgan_dist.memorization.row_file import T, blocks
from dcgan_dist.neighbors.nearest import nearest_codes, nearest_l2
from dcgan_dist.similarity import verifier

SPACES = ("pixels", "code", "features")
CANDIDATES = 4
"""Nearest training images of each space that the verifier looks at."""
COMPARED = 1024
"""Images whose candidates are in memory at once."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Nearest:
    """Nearest training images of some images."""

    distances: dict[str, NDArray[np.float64]]
    """Space -> (n,) to the nearest one: L2 of pixels of 255, bits, L2 of features."""
    ids: dict[str, NDArray[np.int64]]
    """Space -> (n,) its row among the training images."""
    scores: NDArray[np.float32]
    """(n,) verifier's score of the most similar training image."""
    most_similar: NDArray[np.int64]
    """(n,) its row; -1 where there is none."""

    def or_nearer(self, other: "Nearest") -> "Nearest":
        """The nearer, and the more similar, ones of two searches for the same images."""
        nearer = {space: other.distances[space] < self.distances[space] for space in self.distances}
        more_similar = other.scores > self.scores
        return Nearest(
            distances={
                space: np.where(rows, other.distances[space], self.distances[space]) for space, rows in nearer.items()
            },
            ids={space: np.where(rows, other.ids[space], self.ids[space]) for space, rows in nearer.items()},
            scores=np.where(more_similar, other.scores, self.scores),
            most_similar=np.where(more_similar, other.most_similar, self.most_similar),
        )

    def __getitem__(self, rows: slice | NDArray[np.bool_]) -> "Nearest":
        """The nearest ones of some of the images."""
        return Nearest(
            distances={space: values[rows] for space, values in self.distances.items()},
            ids={space: values[rows] for space, values in self.ids.items()},
            scores=self.scores[rows],
            most_similar=self.most_similar[rows],
        )


def find_nearest(queries: EncodedImages, train: EncodedImages) -> Nearest:
    """Nearest training images of some images in every space, and the verifier's choice among all of them."""
    k = min(CANDIDATES, len(train))
    nearest = {}
    for space in SPACES:
        _log.info("  nearest by %s", space)
        nearest[space] = search_space(space, queries, train, k)
    candidates = np.concatenate([ids for _, ids in nearest.values()], 1)
    _log.info("  comparing up to %s pairs", f"{candidates.size:,}")
    scores, most_similar = _most_similar(queries.images, train.images, candidates)
    return Nearest(
        distances={space: distances[:, 0].astype(np.float64) for space, (distances, _) in nearest.items()},
        ids={space: ids[:, 0] for space, (_, ids) in nearest.items()},
        scores=scores,
        most_similar=most_similar,
    )


def _most_similar(
    queries: Thumbnails, train: Thumbnails, candidates: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Score (q,) and id (q,) of the candidate that the verifier finds most alike; of equals the higher id.

    Candidates are ids (q, k) of training images; an id may occur twice, and below 0 there is none.
    """
    scores = np.full(len(queries), -np.inf, np.float32)
    most_similar = np.full(len(queries), -1, np.int64)
    for start in range(0, len(queries), COMPARED):
        block = np.sort(candidates[start : start + COMPARED], 1)
        is_new = np.ones_like(block, bool)
        is_new[:, 1:] = block[:, 1:] != block[:, :-1]
        rows, columns = np.nonzero(is_new & (block >= 0))
        ids = block[rows, columns]
        values = verifier.score_pairs(queries[start + rows], train[ids])
        best = np.lexsort((values, rows))  # the last of each row is its highest
        last = np.flatnonzero(np.append(rows[best][1:] != rows[best][:-1], True))
        scores[start + rows[best][last]] = values[best][last]
        most_similar[start + rows[best][last]] = ids[best][last]
    return scores, most_similar


def search_space(
    space: str, queries: EncodedImages, train: EncodedImages, k: int
) -> tuple[NDArray[np.floating | np.integer], NDArray[np.int64]]:
    """Distances (q, k) to the k nearest training images in one space, and their rows (q, k), nearest first."""
    if space == "code":
        return nearest_codes(queries.codes, train.codes, k)
    if space == "features":
        return nearest_l2(queries.features[:], _with_bar(blocks(train.features), space, len(train)), k)
    return nearest_l2(_flat(queries.images[:]), map(_flat, _with_bar(blocks(train.images), space, len(train))), k)


def _with_bar(some: Iterator[NDArray[T]], space: str, count: int) -> Iterator[NDArray[T]]:
    """The same blocks of so many rows, with a bar where they take long."""
    with tqdm(desc=f"  nearest by {space}", total=count, unit=" images", delay=5) as bar:
        for block in some:
            yield block
            bar.update(len(block))


def _flat(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.reshape(len(images), -1)
