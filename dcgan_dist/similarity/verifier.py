"""Whether two thumbnails show the same photograph: how well the middle of one is found again in the other.

First at 16x16: the middle of each is searched in the other at small shifts and at scales down to four fifths. Pairs that
agree roughly are aligned to fractions of a pixel by an affine map (Gauss-Newton on their lightness). The score is then a
weighted mean of two correlations, of lightness and of gradients bounded in strength, less a share of the deformation that
was needed. So brightness, contrast and colour do not count, nor does what lies at the edge, where frames are. Gradients are
bounded because one strong line, a horizon, would else decide alone; lightness alone would match any two smooth pictures;
and what must be stretched to match is more often another photograph of the same thing. Mirror images are not searched.

Source of the alignment: Lucas and Kanade 1981, with gain and offset removed as by Evangelidis and Psarakis 2008.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.similarity.alignment import affine_map, align, blur, sample
from dcgan_dist.similarity.appearance import bounded_gradients
from dcgan_dist.similarity.native_scores import library, native_scores

Axis = Literal[2, 3]
VERSION = 1
"""To be raised when scores change, by this module, `alignment`, `bounded_gradients` or pair_scores.cpp: kept pairs are then verified again."""
THRESHOLD = 0.92
"""Pairs that score at least this are duplicates; docs/deduplication.md says how it was fixed."""
COARSE_THRESHOLD = 0.7
"""Pairs whose lightness correlates less than this at 16x16 score what it does, or THRESHOLD's half, and are not aligned."""
SCALES = (1.0, 0.93, 0.87, 0.81)
"""Sizes at which the middle of one image is searched in the other, so that a frame may take a tenth at each side."""
COARSE_WINDOW, COARSE_SHIFT = 12, 2
"""Side of what is searched at 16x16, and the greatest shift."""
WINDOW = 22
"""Side of what is compared at 32x32: an edge of 5 pixels does not count."""
FLAT = 2.0  # grey levels: structure weaker than this is noise of compression and correlates with nothing
GRADIENT_SHARE = 0.75
DEFORMATION_COST = 0.2
SKEW_COST = 0.5
"""Copies are cut and resized; what must be turned or sheared to match is more often another photograph."""
BLOCK = 512
IN_MEMORY = 4096
"""Pairs whose thumbnails are in memory at once."""


def score_pairs(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How alike the images of each pair are.

    Args:
        images_a: (n, 3, 32, 32) thumbnails.
        images_b: the others, of the same shape.

    Returns:
        (n,) in [-1, 1]; higher is more alike; the same for (b, a) as for (a, b).
    """
    assert images_a.shape == images_b.shape, (images_a.shape, images_b.shape)
    functions = library()
    return torch_scores(images_a, images_b) if functions is None else native_scores(functions, images_a, images_b)


def torch_scores(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`score_pairs` where no compiler is, and what its C++ is tested against."""
    scores = [_score(images_a[i : i + BLOCK], images_b[i : i + BLOCK]) for i in range(0, len(images_a), BLOCK)]
    return np.concatenate([np.zeros(0, np.float32), *scores])


def score_rows(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    gather: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    *,
    flip: Axis | None = None,
) -> NDArray[np.float32]:
    """`score_pairs` of rows of a table of thumbnails, a bounded number in memory at a time.

    Args:
        first, second: (n,) rows.
        gather: rows -> (k, 3, 32, 32) thumbnails.
        flip: axis along which the first of each pair is flipped.
    """
    scores = np.zeros(len(first), np.float32)
    for start in range(0, len(first), IN_MEMORY):
        block = slice(start, start + IN_MEMORY)
        pictures = gather(first[block])
        pictures = pictures if flip is None else np.flip(pictures, flip).copy()
        scores[block] = score_pairs(pictures, gather(second[block]))
    # Rounded far above the last bits, which depend on how many pairs were scored together.
    return np.round(scores, 3)


@torch.no_grad()
def _score(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    a, b = _lightness(images_a), _lightness(images_b)
    (forth, start), (back, start_back) = _coarse(a, b), _coarse(b, a)
    scores = torch.maximum(forth, back)
    near = (scores >= COARSE_THRESHOLD).nonzero()[:, 0]
    scores = scores.clamp(max=THRESHOLD / 2)
    if len(near):
        a, b = a[near], b[near]
        scores[near] = torch.maximum(_fine(a, b, start[near]), _fine(b, a, start_back[near]))
    return scores.numpy()


def _lightness(images: NDArray[np.uint8]) -> Tensor:
    """(n, 3, 32, 32) uint8 -> (n, 1, 32, 32)."""
    return torch.from_numpy(images).float().mean(1, keepdim=True)


def _coarse(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Best correlation (n,) at half the resolution, and the map (n, 2, 3) from the middle of b to where it lies in a."""
    small_a, small_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    middles = [sample(small_a, affine_map(len(a), 1 / scale), COARSE_WINDOW).flatten(1) for scale in SCALES]
    templates = _centred(torch.stack(middles, 1))
    windows = _centred(F.unfold(small_b, COARSE_WINDOW).transpose(1, 2))
    similarity = torch.bmm(templates, windows.transpose(1, 2)).flatten(1)
    best, at = similarity.max(1)
    side = 2 * COARSE_SHIFT + 1
    scales, shifts = torch.tensor(SCALES)[at // side**2], at % side**2
    dy, dx = 2 * (shifts // side - COARSE_SHIFT), 2 * (shifts % side - COARSE_SHIFT)
    start = affine_map(len(a), 1 / scales)
    start[:, :, 2] = -torch.stack([dx, dy], 1) / scales[:, None]
    return best, start


def _fine(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Score (n,) of the middle of b against where it lies in a, once aligned."""
    found = align(a, b, start, WINDOW, least_deviation=FLAT)
    in_a, in_b = (blur(sample(x, m, WINDOW + 2), 0.6) for x, m in ((a, found), (b, affine_map(len(b), 1.0))))
    values = (_centred(in_a[:, :, 1:-1, 1:-1].flatten(1)) * _centred(in_b[:, :, 1:-1, 1:-1].flatten(1))).sum(1)
    gradients = (_edges(in_a) * _edges(in_b)).sum(1)
    matrix = found[:, :, :2]
    deformation = (matrix - torch.eye(2)).flatten(1).norm(dim=1)
    skew = torch.maximum(matrix[:, 0, 1].abs(), matrix[:, 1, 0].abs())
    agreement = GRADIENT_SHARE * gradients + (1 - GRADIENT_SHARE) * values
    return agreement - DEFORMATION_COST * deformation - SKEW_COST * skew


def _centred(x: Tensor) -> Tensor:
    """Rows (..., p) less their mean, with unit norm unless they are flat."""
    x = x - x.mean(-1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=FLAT * x.shape[-1] ** 0.5)


def _edges(x: Tensor) -> Tensor:
    """Bounded gradients as rows of unit norm: (n, 1, s, s) -> (n, 2 (s - 2)^2)."""
    rows = bounded_gradients(x, 0.1).flatten(1)
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-3)
