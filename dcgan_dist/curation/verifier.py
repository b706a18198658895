"""Whether two thumbnails show the same photograph: how well the middle of one is found again in the other.

The middle of each is searched in the other at small shifts and at scales down to four fifths; the score is the mean of two
correlations of lightness, of values and of gradients. So brightness, contrast and colour do not count, and neither does
what lies at the edge, where frames are; values alone would match any two smooth pictures, gradients alone suffer from JPEG.
Mirror images are not searched: they are different photographs here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.curation.thumbnails import SIDE

THRESHOLD = 0.75
"""Pairs that score at least this are duplicates; docs/deduplication.md says how it was fixed."""
COARSE_THRESHOLD = 0.7
"""Pairs whose lightness correlates less than this at 16x16 score what it does, and are not looked at more closely."""
SCALES = (1.0, 0.93, 0.87, 0.81)
"""Sizes at which the middle of one image is searched in the other, so that a frame may take a tenth at each side."""
WINDOW, SHIFT = 22, 3
"""Side of what is compared, and the greatest shift, in pixels of a thumbnail."""
COARSE_WINDOW, COARSE_SHIFT = 12, 2
"""The same at 16x16."""
BLOCK = 512
FLAT = 2.0  # grey levels: structure weaker than this is noise of compression and correlates with nothing


def score_pairs(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How alike the images of each pair are.

    Args:
        images_a: (n, 3, 32, 32) thumbnails.
        images_b: the others, of the same shape.

    Returns:
        (n,) in [-1, 1]; higher is more alike; the same for (b, a) as for (a, b).
    """
    assert images_a.shape == images_b.shape, (images_a.shape, images_b.shape)
    scores = [_score(images_a[i : i + BLOCK], images_b[i : i + BLOCK]) for i in range(0, len(images_a), BLOCK)]
    return np.concatenate([np.zeros(0, np.float32), *scores])


@torch.no_grad()
def _score(images_a: NDArray[np.uint8], images_b: NDArray[np.uint8]) -> NDArray[np.float32]:
    a, b = _lightness(images_a), _lightness(images_b)
    scores = torch.maximum(_coarse(a, b), _coarse(b, a))
    closer = (scores >= COARSE_THRESHOLD).nonzero()[:, 0]
    if len(closer):
        a, b = a[closer], b[closer]
        scores[closer] = torch.maximum(_fine(a, b), _fine(b, a))
    return scores.numpy()


def _lightness(images: NDArray[np.uint8]) -> Tensor:
    """(n, 3, 32, 32) uint8 -> (n, 1, 32, 32)."""
    return torch.from_numpy(images).float().mean(1, keepdim=True)


def _coarse(a: Tensor, b: Tensor) -> Tensor:
    """Best correlation of values at half the resolution: (n,)."""
    scaled = _middles(F.avg_pool2d(a, 2), COARSE_WINDOW)
    return _values(scaled, F.avg_pool2d(b, 2), COARSE_WINDOW, COARSE_SHIFT).amax((1, 2))


def _fine(a: Tensor, b: Tensor) -> Tensor:
    """Best mean of both correlations: (n,)."""
    scaled = _middles(a, WINDOW + 2)
    values = _values(scaled[:, :, 1:-1, 1:-1], b, WINDOW, SHIFT)
    gradients = _gradients(scaled, b)
    return ((values + gradients) / 2).amax((1, 2))


def _middles(x: Tensor, window: int) -> Tensor:
    """The middle of images at every scale: (n, 1, s, s) -> (n, len(SCALES), window, window)."""
    matrices = [torch.from_numpy(_sampling(x.shape[-1], window, scale)) for scale in SCALES]
    return torch.cat([m @ x @ m.T for m in matrices], 1)


def _sampling(side: int, window: int, scale: float) -> NDArray[np.float32]:
    """Matrix (window, side) that samples the middle of a row at steps of 1 / scale by triangles as wide as a step."""
    centres = (np.arange(window) - (window - 1) / 2) / scale + (side - 1) / 2
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(side)) * scale)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _values(scaled: Tensor, b: Tensor, window: int, shift: int) -> Tensor:
    """Correlation coefficients: (n, scales, window, window), (n, 1, s, s) -> (n, scales, shifts)."""
    templates = scaled.flatten(2) - scaled.flatten(2).mean(2, keepdim=True)
    windows = _windows(b, window, shift)
    windows = windows - windows.mean(2, keepdim=True)
    return _cosines(templates, windows, FLAT * window)


def _gradients(scaled: Tensor, b: Tensor) -> Tensor:
    """Cosines between gradients: (n, scales, WINDOW + 2, WINDOW + 2), (n, 1, s, s) -> (n, scales, shifts)."""
    dy, dx = _differences(scaled)
    templates = torch.cat([dy.flatten(2), dx.flatten(2)], 2)
    windows = torch.cat([_windows(d, WINDOW, SHIFT) for d in _differences(b)], 2)
    return _cosines(templates, windows, FLAT * WINDOW)


def _differences(x: Tensor) -> Sequence[Tensor]:
    """Central differences along both axes, one pixel less at each edge."""
    return x[..., 2:, 1:-1] - x[..., :-2, 1:-1], x[..., 1:-1, 2:] - x[..., 1:-1, :-2]


def _windows(x: Tensor, window: int, shift: int) -> Tensor:
    """All windows at most `shift` off the middle: (n, 1, s, s) -> (n, shifts, window^2)."""
    margin = (x.shape[-1] - window) // 2 - shift
    middle = x[..., margin : x.shape[-1] - margin, margin : x.shape[-1] - margin]
    return F.unfold(middle, window).transpose(1, 2)


def _cosines(templates: Tensor, windows: Tensor, least_norm: float) -> Tensor:
    """Dot products over the norms, where those are not less than `least_norm`: (n, scales, p), (n, shifts, p)."""
    norms_a = templates.norm(dim=2).clamp(min=least_norm)
    norms_b = windows.norm(dim=2).clamp(min=least_norm)
    return torch.bmm(templates, windows.transpose(1, 2)) / (norms_a[:, :, None] * norms_b[:, None, :])


assert SIDE >= WINDOW + 2 + 2 * SHIFT
