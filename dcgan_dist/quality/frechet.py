"""Frechet distance between two sets of features, each summed up by a mean and a covariance."""

from typing import Self

import torch
from torch import Tensor


class FeatureStatistics:
    """Mean and covariance of features that come in batches.

    Everything is float64 and centred at each step, so that large means do not eat the digits of small variances.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Take in a batch: (b, d), any float dtype, any device."""
        if not len(features):
            return
        x = features.double()
        count, mean, total = len(x), x.mean(0), self.count + len(x)
        x = x - mean
        scatter = x.T @ x
        if self.count:
            shift = mean - self.mean
            scatter = self.scatter + scatter + torch.outer(shift, shift) * (self.count * count / total)
            mean = self.mean + shift * (count / total)
        self.count, self.mean, self.scatter = total, mean, scatter

    @property
    def covariance(self) -> Tensor:
        """(d, d) float64, divided by count - 1."""
        assert self.count > 1, "a covariance needs two rows"
        return self.scatter / (self.count - 1)

    def distance(self, other: Self) -> float:
        """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), the squared distance of two normal distributions.

        The trace of the root is computed as the sum of the roots of the eigenvalues of cov_a^(1/2) cov_b cov_a^(1/2): two
        symmetric decompositions, so that singular covariances (fewer samples than features) need no special care.

        Returns:
            At least 0, in squared feature units. Its bias falls as 1 / samples: compare only equal numbers of samples.

        Source: Dowson and Landau 1982; as a measure of samples Heusel et al., arXiv 1706.08500.
        """
        cov_a, cov_b = self.covariance, other.covariance
        values, vectors = torch.linalg.eigh(cov_a)
        root_a = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        root_trace = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
        distance = (self.mean - other.mean).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root_trace
        return max(0.0, float(distance))
