"""Augmentation for small data sets: mirrored real images, and differentiable changes that D sees of real and fake alike.

Source: Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan_dist.config import AUGMENTATIONS, AugmentConfig, TrainConfig
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.pixel_ranges import Output

REAL, FAKE_FOR_D, FAKE_FOR_G = range(3)
"""Images that get draws of their own in a step."""
FLIP, BRIGHTNESS, SATURATION, CONTRAST, SHIFT_Y, SHIFT_X, CUT_Y, CUT_X = range(8)
"""What the draws of an image decide."""
SHIFT, CUT = 1 / 8, 1 / 2
"""Largest shift, and side of the square cut out, as shares of the image's side."""


def draw_augmentation(config: TrainConfig, step: int) -> Tensor | None:
    """Draws for the global batch, by seed and step: (batch size, 3, 8) uniform in [0, 1), on the CPU; None without augmentation."""
    if config.augment == AugmentConfig():
        return None
    return torch.rand(config.data.batch_size, 3, 8, generator=seeded(config.seed, "augment", step))


def flipped(images: Tensor, draws: Tensor) -> Tensor:
    """Images of which half are mirrored left to right.

    Args:
        images: (b, c, s, s).
        draws: (b, 8) in [0, 1).
    """
    mirrored = draws[:, FLIP, None, None, None] < 0.5
    return torch.where(mirrored, images.flip(3), images)


def augmented(images: Tensor, use: int, *, draws: Tensor | None, config: AugmentConfig, output: Output) -> Tensor:
    """What D is shown of images; gradients flow through.

    Args:
        images: (b, c, s, s) in the range of the generator's output.
        use: REAL, FAKE_FOR_D or FAKE_FOR_G; only real images are mirrored.
        draws: (b, 3, 8) in [0, 1); None: the images stay as they are.
        config: its policy is applied in the order colour, translation, cutout.
        output: range of the images: [-1, 1] for tanh, [0, 1] for sigmoid. Shifted in and cut out is its middle.
    """
    if draws is None:
        return images
    draws = draws[:, use].to(images.dtype)
    if config.flip and use == REAL:
        images = flipped(images, draws)
    if not config.policy:
        return images
    x = images if output == "tanh" else images * 2 - 1
    changes = {"colour": change_colour, "translation": translate, "cutout": cut_out}
    for name in AUGMENTATIONS:
        if name in config.policy:
            x = changes[name](x, draws)
    return x if output == "tanh" else (x + 1) / 2


def change_colour(x: Tensor, draws: Tensor) -> Tensor:
    """Brightness by up to a quarter of the range, saturation from none to double, contrast from half to one and a half."""
    brightness, saturation, contrast = (draws[:, i, None, None, None] for i in (BRIGHTNESS, SATURATION, CONTRAST))
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def translate(x: Tensor, draws: Tensor) -> Tensor:
    """Each image shifted by whole pixels, up to an eighth of the side; 0 moves in."""
    side = x.shape[2]
    most = int(side * SHIFT + 0.5)
    padded = F.pad(x, (most,) * 4)
    rows, columns = (_whole(draws[:, i], 2 * most + 1)[:, None] + _pixels(x) for i in (SHIFT_Y, SHIFT_X))
    images = torch.arange(len(x), device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(x: Tensor, draws: Tensor) -> Tensor:
    """A square of half the side, with its centre anywhere, becomes 0."""
    side = x.shape[2]
    inside = []
    for i in (CUT_Y, CUT_X):
        first = _whole(draws[:, i], side + 1)[:, None] - int(side * CUT) // 2
        inside.append((_pixels(x) >= first) & (_pixels(x) < first + int(side * CUT)))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(square, 0)


def _pixels(x: Tensor) -> Tensor:
    return torch.arange(x.shape[2], device=x.device)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Draws in [0, 1) as whole numbers below count."""
    return (draws.double() * count).long().clamp(max=count - 1)
