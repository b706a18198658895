"""The verifier in C++: the scores of `verifier.torch_scores`, to the third digit, in a tenth of the time."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.neighbors.native import built

SOURCE = Path(__file__).with_name("pair_scores.cpp")


@cache
def library() -> ctypes.CDLL | None:
    """The function of pair_scores.cpp, or None with one warning where it cannot be built."""
    return built(SOURCE, "verifying pairs with torch")


def native_scores(
    functions: ctypes.CDLL, images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Scores (n,) of pairs of thumbnails, (n, 3, 32, 32) each, in as many threads as torch uses."""
    a, b = np.ascontiguousarray(images_a), np.ascontiguousarray(images_b)
    scores = np.empty(len(a), np.float32)
    bounds = np.linspace(0, len(a), torch.get_num_threads() + 1).astype(int).tolist()

    def score(first: int, end: int) -> None:
        in_a, in_b, out = (ctypes.c_void_p(array[first:].ctypes.data) for array in (a, b, scores))
        functions.score_pairs(in_a, in_b, ctypes.c_int64(end - first), out)

    if len(bounds) == 2:
        score(*bounds)
    else:
        with ThreadPoolExecutor(len(bounds) - 1) as threads:
            list(threads.map(score, bounds[:-1], bounds[1:]))
    return scores
