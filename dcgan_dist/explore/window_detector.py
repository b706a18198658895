"""Finding a thing in images, learnt from images whose boxes are known."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from dcgan_dist.explore.boxes import Box, masks
from dcgan_dist.models.latents import seeded

WIDTH = 24
LEAST_AREA = 0.004
"""Share of the image: a smaller patch is no detection. The smallest drawn window covers 0.036."""


class Detector(nn.Module):
    """For each place of an image, a logit that it is part of the thing: five convolutions at half the resolution.

    The receptive field is 35 pixels wide, so that a window differs from a picture frame by what surrounds it too.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                *(nn.Conv2d(3, WIDTH, 3, stride=2, padding=1), nn.ReLU()),
                *(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2), nn.ReLU()),
                *(nn.Conv2d(WIDTH, WIDTH, 3, padding=4, dilation=4), nn.ReLU()),
                nn.Conv2d(WIDTH, 1, 3, padding=1),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, s / 2, s / 2) of images (b, 3, s, s) in [-1, 1]."""
        return self.layers(images).squeeze(1)

    @torch.no_grad()
    def find(self, images: Tensor, *, name: str = "window") -> list[Box]:
        """The largest patch of places inside the thing, as at most one box per image; numbers count from 0."""
        boxes = []
        for start in range(0, len(images), 256):
            logits = self(images[start : start + 256]).numpy()
            for number, logit in enumerate(logits, start=start):
                if edges := _largest_patch(logit > 0):
                    boxes.append(Box(number, *edges, name))
        return boxes

    def rate(self, images: Tensor) -> tuple[int, int]:
        """How many images have a detection, and how many images there are."""
        return len(self.find(images)), len(images)


def train_detector(
    images: Tensor,
    boxes: Sequence[Box],
    *,
    seed: int = 0,
    steps: int = 600,
    batch_size: int = 64,
    progress: Callable[[int], object] = lambda steps: None,
) -> Detector:
    """Fit a detector to images with known boxes.

    Images are softened and made noisy at random, since a generator's samples are: what it finds in them must not hang on
    sharp edges.

    Args:
        images: (n, 3, s, s) in [-1, 1].
        boxes: their boxes; images without one are examples too.
        seed: of weights, order and noise.
        steps: of Adam, learning rate 2e-3 falling to 0.
        batch_size: images per step.
        progress: told of the steps done.
    """
    detector, draw = Detector(seed=seed), seeded(seed, "detector")
    truth = masks(boxes, range(len(images)), images.shape[2] // 2).float()
    optimiser = torch.optim.Adam(detector.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (batch_size,), generator=draw)
        loss = F.binary_cross_entropy_with_logits(detector(_spoil(images[rows], draw)), truth[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(1)
    return detector.eval()


def _spoil(images: Tensor, draw: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.lerp(images, blurred, torch.rand(shape, generator=draw))
    noise = torch.randn(images.shape, generator=draw) * torch.rand(shape, generator=draw) * 0.2
    contrast = 0.7 + 0.6 * torch.rand(shape, generator=draw)
    return (images * contrast + noise).clamp(-1, 1)


def measure_detector(detector: Detector, images: Tensor, boxes: Sequence[Box]) -> dict[str, float]:
    """Compare with the truth about images that the detector was not trained on.

    Returns:
        The number of images, the shares of images with and without the thing in which it was found, and the mean
        intersection over union of found and true box, over images with both.
    """
    truth = {box.image: box for box in boxes}
    detected = {box.image: box for box in detector.find(images)}
    without = len(images) - len(truth)
    both = truth.keys() & detected.keys()
    return {
        "images": len(images),
        "found_of_those_with": len(both) / max(1, len(truth)),
        "found_of_those_without": len(detected.keys() - truth.keys()) / max(1, without),
        "overlap": float(np.mean([overlap(truth[image], detected[image]) for image in both])) if both else 0.0,
    }


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    common = max(0.0, width) * max(0.0, height)
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (first, second)]
    return common / (sum(areas) - common)


def _largest_patch(inside: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    labelled, count = ndimage.label(inside)  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return None
    sizes = np.bincount(labelled.ravel())[1:]
    if sizes.max() < LEAST_AREA * inside.size:
        return None
    rows, columns = ndimage.find_objects(labelled)[int(sizes.argmax())]
    height, width = inside.shape
    return columns.start / width, rows.start / height, columns.stop / width, rows.stop / height
