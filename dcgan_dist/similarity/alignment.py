"""Affine alignment of many pairs of small grey images at once.

A map (n, 2, 3) takes (x, y, 1) in pixels from the centre of a window to (x, y) in pixels from the centre of an image.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 8
SMOOTHING = (1.5, 0.8)
"""Blur in the first and in the second half of the steps: the first sees farther, the second is exact."""
LARGEST_STRETCH, LARGEST_SHIFT = 0.2, 3.0
"""How far an alignment may go from where it starts: in entries of the matrix, and in pixels."""
DAMPING = 0.01


def affine_map(n: int, scale: Tensor | float) -> Tensor:
    """Maps that only scale: (n, 2, 3)."""
    maps = torch.zeros(n, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.as_tensor(scale)
    return maps


def sample(images: Tensor, maps: Tensor, window: int) -> Tensor:
    """What windows see: (n, c, s, s), (n, 2, 3) -> (n, c, window, window), bilinear, the edge repeated."""
    points = (coordinates(window) @ maps.transpose(1, 2)) * (2 / images.shape[-1])
    grid = points.view(len(images), window, window, 2)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@cache
def coordinates(window: int) -> Tensor:
    """(window^2, 3): x, y and 1 of every pixel, from the centre, by rows."""
    line = torch.arange(window) - (window - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.ones(window**2)], 1)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of square images (n, c, s, s), float32 in main memory, cut at 2.5 deviations, the edge repeated."""
    along = _blur_along(x.shape[-1], sigma)
    return along @ x @ along.T  # on small images many times as fast as a convolution


@cache
def _blur_along(side: int, sigma: float) -> Tensor:
    """(side, side): what each place of a line takes from each."""
    reach = int(2.5 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / sigma).square())
    places = torch.arange(side)[:, None]
    return torch.zeros(side, side).scatter_add_(
        1, (places + offsets).clamp(0, side - 1), (weights / weights.sum()).expand(side, -1)
    )


def align(a: Tensor, b: Tensor, start: Tensor, window: int, *, least_deviation: float) -> Tensor:
    """Maps under which the middle of b looks most like a, by Gauss-Newton steps on standardised values.

    Args:
        a: (n, 1, s, s).
        b: of the same shape.
        start: (n, 2, 3).
        window: side of the middle of b that is matched.
        least_deviation: a window with less is flat; keeps its noise from being blown up.

    Returns:
        (n, 2, 3): the best maps met under the last blur.
    """
    maps = start
    best, best_maps = torch.full((len(a),), -torch.inf), start
    for number in range(STEPS + 1):
        if number in (0, STEPS // 2):
            smooth_a, smooth_b = (blur(x, SMOOTHING[int(number > 0)]) for x in (a, b))
            layers = torch.cat([smooth_a, *_slopes(smooth_a)], 1)
            target, _ = _standardised(sample(smooth_b, affine_map(len(b), 1.0), window).flatten(1), least_deviation)
            best = torch.full_like(best, -torch.inf)
        seen, slope_x, slope_y = sample(layers, maps, window).flatten(2).unbind(1)
        current, deviation = _standardised(seen, least_deviation)
        agreement = (current * target).mean(1)
        better = agreement > best
        best = torch.where(better, agreement, best)
        best_maps = torch.where(better[:, None, None], maps, best_maps)
        if number < STEPS:
            maps = _limited(maps + _step(current, target, slope_x / deviation, slope_y / deviation, window), start)
    return best_maps


def _step(current: Tensor, target: Tensor, slope_x: Tensor, slope_y: Tensor, window: int) -> Tensor:
    """One Gauss-Newton step (n, 2, 3) on |current - target|^2, the derivative of the standardisation included."""
    points = coordinates(window)
    jacobian = torch.cat([slope_x[:, :, None] * points, slope_y[:, :, None] * points], 2)  # (n, window^2, 6)
    jacobian = jacobian - jacobian.mean(1, keepdim=True)
    jacobian = jacobian - current[:, :, None] * (jacobian * current[:, :, None]).mean(1, keepdim=True)
    hessian = jacobian.transpose(1, 2) @ jacobian
    hessian = hessian + torch.diag_embed(DAMPING * hessian.diagonal(dim1=1, dim2=2) + 1e-3)
    downhill = jacobian.transpose(1, 2) @ (target - current)[:, :, None]
    return torch.linalg.solve(hessian, downhill).view(-1, 2, 3)


def _limited(maps: Tensor, start: Tensor) -> Tensor:
    """Maps that stay near their start."""
    change = maps - start
    stretch = change[:, :, :2].clamp(-LARGEST_STRETCH, LARGEST_STRETCH)
    return start + torch.cat([stretch, change[:, :, 2:].clamp(-LARGEST_SHIFT, LARGEST_SHIFT)], 2)


def _standardised(x: Tensor, least_deviation: float) -> tuple[Tensor, Tensor]:
    """Rows with mean 0 and deviation 1 unless they are flat, and what they were divided by."""
    x = x - x.mean(1, keepdim=True)
    deviation = x.square().mean(1, keepdim=True).sqrt().clamp(min=least_deviation)
    return x / deviation, deviation


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, 0 at the edges: (n, 1, s, s) each."""
    along_x, along_y = (x[..., 2:] - x[..., :-2]) / 2, (x[..., 2:, :] - x[..., :-2, :]) / 2
    return F.pad(along_x, (1, 1, 0, 0)), F.pad(along_y, (0, 0, 1, 1))
