"""Features of images from k-means centroids of small whitened patches: the single layer baseline of the CIFAR-10 table.

Source: Coates, Lee and Ng, An analysis of single-layer networks in unsupervised feature learning, AISTATS 2011: patches of 6x6
pixels, each brought to mean 0 and standard deviation 1, then whitened; triangle encoding max(0, mean distance - distance);
sums over the four quadrants. The features are then standardised by those of the training images.
"""

import hashlib
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan_dist.neighbors.kmeans import kmeans

PATCH = 6
CONTRAST_FLOOR = 10.0
"""Added to a patch's variance, in squared grey levels of 0 to 255."""
WHITENING_FLOOR = 0.1
"""Added to the variance of every principal axis."""
PATCHES, ITERATIONS = 400_000, 10


class PatchFeatures:
    """Centroids and the encoding by them, an `Extractor`; it is sent to other processes."""

    name = "K-means"

    def __init__(self, mean: Tensor, whitening: Tensor, centroids: Tensor) -> None:
        """mean (108,), whitening (108, 108), centroids (k, 108), all float32."""
        self.mean, self.whitening, self.centroids = mean, whitening, centroids
        self.dimensions = 4 * len(centroids)
        digest = hashlib.sha256()
        for tensor in (mean, whitening, centroids):
            digest.update(tensor.numpy().tobytes())
        self.identity = digest.hexdigest()

    @classmethod
    def learn(cls, images: Tensor, centroids: int, *, seed: int, patches: int = PATCHES, use_gpu: bool = False) -> Self:
        """Whitening and centroids of patches drawn at random from images (n, c, s, s) uint8; a GPU is for k-means.

        Raises:
            InputError: more centroids than patches.
        """
        draw = np.random.default_rng(seed)
        n, _, height, width = images.shape
        which = torch.from_numpy(draw.integers(0, n, patches))
        tops = torch.from_numpy(draw.integers(0, height - PATCH + 1, patches))
        lefts = torch.from_numpy(draw.integers(0, width - PATCH + 1, patches))
        window = torch.arange(PATCH)
        drawn = images[which[:, None, None], :, tops[:, None, None] + window[:, None], lefts[:, None, None] + window]
        rows = normalise(drawn.permute(0, 3, 1, 2).flatten(1).float())
        mean = rows.mean(0)
        covariance = (rows - mean).T.double() @ (rows - mean).double() / len(rows)
        values, vectors = torch.linalg.eigh(covariance)
        whitening = (vectors / (values + WHITENING_FLOOR).sqrt() @ vectors.T).float()
        white = ((rows - mean) @ whitening).numpy()
        centres = kmeans(white, centroids, iterations=ITERATIONS, seed=seed, use_gpu=use_gpu)
        return cls(mean, whitening, torch.from_numpy(centres))

    def to(self, device: torch.device) -> None:
        """Move to where it will compute."""
        self.mean, self.whitening = self.mean.to(device), self.whitening.to(device)
        self.centroids = self.centroids.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Features (b, 4 centroids) of images (b, c, s, s) uint8, one image at a time: its patches are many."""
        return torch.stack([self._encode(image) for image in images])

    def _encode(self, image: Tensor) -> Tensor:
        patches = F.unfold(image[None].float(), PATCH)[0].T  # (positions, c 36)
        side = image.shape[-1] - PATCH + 1
        white = (normalise(patches) - self.mean) @ self.whitening
        # In place: 729 x 4800 distances are more than a cache holds, and each new copy costs as much as the product.
        triangle = torch.addmm(self.centroids.square().sum(1), white, self.centroids.T, alpha=-2)
        triangle.add_(white.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_().neg_()
        triangle.sub_(triangle.mean(1, keepdim=True)).clamp_(min=0)
        triangle = triangle.view(side, side, -1)
        half = side // 2
        rows, columns = (triangle[:half], triangle[half:]), (slice(None, half), slice(half, None))
        return torch.cat([band[:, column].sum((0, 1)) for band in rows for column in columns])


def normalise(patches: Tensor) -> Tensor:
    """Patches (n, d) in grey levels of 0 to 255, each at mean 0 and about standard deviation 1."""
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + CONTRAST_FLOOR).sqrt()
