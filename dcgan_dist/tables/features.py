"""Features of images from a discriminator: every convolution's output, pooled to a 4x4 grid, end to end.

How the 28672 features of the paper's CIFAR-10 table are made: the discriminator of preset imagenet32 has six
convolutions of 128, 128, 256, 256, 512 and 512 maps; each map, after normalisation and LeakyReLU, is max-pooled to 4x4
(windows of 8, 4, 4, 2, 2 and 1 pixels); 16 x (128 + 128 + 256 + 256 + 512 + 512) = 28672. Normalisation uses statistics
that are measured on the target's training images (`restandardise`), then frozen. Source: section 5.1 of the paper and the
released `svhn_semisup_analysis.py`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan_dist.config import ModelConfig
from dcgan_dist.errors import require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import has_standing_statistics

SIDE = 4
STATISTICS_BATCH = 128
"""Images per batch of the statistics, as the authors have it."""


def feature_dimensions(config: ModelConfig) -> int:
    """How many features a discriminator gives: 28672 for imagenet32, 7168 for svhn32, 30720 for lsun64.

    Raises:
        InputError: a discriminator that needs labels, or whose maps are no multiples of 4x4.
    """
    require(
        not config.classes,
        f"this discriminator is conditioned on {config.classes} classes, and features are for images without labels: "
        "name the discriminator of an unconditional model",
    )
    side = config.image_size
    for stride in config.discriminator_strides:
        side //= stride
        require(
            side % SIDE == 0,
            f"this discriminator has maps of {side} x {side}, which cannot be pooled to {SIDE} x {SIDE}: "
            "name one whose last map is 4 x 4 or a multiple",
        )
    return SIDE * SIDE * sum(config.discriminator_maps) * config.discriminator_width


def discriminator_features(discriminator: Discriminator, images: Tensor) -> Tensor:
    """Features of images (b, c, s, s) uint8: each does not depend on its batch mates, as the statistics stand.

    The discriminator is in eval mode, with standing statistics of the target's training images.

    Returns:
        (b, `feature_dimensions`) in the discriminator's dtype, on its device; the features of one convolution are next to
        each other, as (map, row, column).
    """
    assert not discriminator.training
    assert has_standing_statistics(discriminator)
    weight = next(discriminator.parameters())
    x = from_uint8(images.to(weight.device), discriminator.config.output).to(weight.dtype)
    with torch.no_grad():
        outputs = discriminator.layer_outputs(x)
    pooled = [
        F.max_pool2d(output, output.shape[-1] // SIDE).flatten(1)
        for name, output in outputs.items()
        if name.startswith("convolution")
    ]
    features = torch.cat(pooled, dim=1)
    assert features.shape == (len(images), feature_dimensions(discriminator.config)), features.shape
    return features
