"""Image features from a fixed random convolutional network: no training, no download, the same everywhere."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.errors import require
from dcgan_dist.models.latents import seeded

VERSION = "random-convolution-v1"
LEAST_SIDE = 28
SCALES = 3  # the image, its half and its quarter
FIRST, SECOND = 16, 32  # maps of the two convolutions at each scale

# Lightness, red - blue, green - (red + blue) / 2, each times a number that gives photographs about unit variance.
OPPONENT = ((0.6, 0.6, 0.6), (5.0, 0.0, -5.0), (-4.0, 8.0, -4.0))


class RandomFeatures(nn.Module):
    """416 numbers per image that say what its colours, edges and textures are like, and roughly where.

    Why a network without training tells good samples from bad ones: at each of three scales random filters without a mean
    respond to edges of all directions and colours; the energy of each (log) falls with blur and rises with noise; a
    second layer of random filters on the rectified responses, divided by their size in this image so that contrast does
    not drown form, sees corners and textures, and its spatial mean and deviation tell a regular texture from a single
    mark. A 4x4 thumbnail and, at the coarsest scale, 2x2 means keep the layout.

    Distances between images of different sizes, or between versions of this network, mean nothing.
    """

    size = 4 * 4 * 3 + SCALES * (FIRST + 2 * SECOND) + 4 * SECOND

    def __init__(self) -> None:
        super().__init__()
        draw = seeded(VERSION)
        self.register_buffer("opponent", torch.tensor(OPPONENT))
        for scale in range(SCALES):
            edges, textures = _filters(FIRST, 3, 5, draw), _filters(SECOND, FIRST, 3, draw)
            edges -= edges.mean((2, 3), keepdim=True)
            for name, filters in (("edges", edges), ("textures", textures)):
                norm = filters.square().sum((1, 2, 3), keepdim=True).sqrt()
                self.register_buffer(f"{name}{scale}", (filters / norm).float())

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (b, 3 or 1, s, s) floats in [-1, 1].

        Returns:
            (b, 416) float32.

        Raises:
            InputError: s is less than 28.
        """
        assert images.shape[1] in (1, 3), images.shape
        require(
            min(images.shape[2:]) >= LEAST_SIDE,
            f"images of {images.shape[3]} x {images.shape[2]} pixels cannot be compared, it takes {LEAST_SIDE} per side: name a "
            "model of larger images",
        )
        x = torch.einsum("oc,bchw->bohw", self.opponent, images.float().expand(-1, 3, -1, -1))
        features = [F.adaptive_avg_pool2d(x, 4).flatten(1)]
        for scale in range(SCALES):
            response = F.conv2d(x, getattr(self, f"edges{scale}"))
            energy = response.square().mean((2, 3))
            response = F.relu(response / (energy.mean(1).sqrt() + 0.1)[:, None, None, None])
            texture = F.relu(F.conv2d(response, getattr(self, f"textures{scale}"), stride=2))
            deviation, mean = torch.std_mean(texture, (2, 3), correction=0)
            features += [0.5 * torch.log(energy + 1e-3), mean, deviation]
            x = F.avg_pool2d(x, 2)
        features.append(F.adaptive_avg_pool2d(texture, 2).flatten(1))
        return torch.cat(features, 1)


def _filters(outputs: int, inputs: int, side: int, generator: torch.Generator) -> Tensor:
    """Whole numbers, since random floats may differ in their last bits between processors."""
    return torch.randint(-100, 101, (outputs, inputs, side, side), generator=generator).double()
