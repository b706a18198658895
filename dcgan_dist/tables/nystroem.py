"""A preconditioner for I + s X'X that costs one pass over the rows X and serves every s.

Source: Frangella, Tropp and Udell, Randomized Nystrom preconditioning, SIAM J. Matrix Anal. Appl. 44 (2023).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from dcgan_dist.models.latents import seeded

NOISE = 1e-6
"""Share of the largest eigenvalue below which the products of float32 rows are rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Nystroem:
    """The part of X'X that a random subspace sees, as U diag(values) U'."""

    vectors: Tensor
    """U: (d, r), orthonormal columns."""
    values: Tensor
    """(r,), rising."""

    @classmethod
    def sketch(cls, gram: Callable[[Tensor], Tensor], like: Tensor, rank: int, *, seed: int = 0) -> Self:
        """See X'X through one product with (d, rank), of the precision and on the device of `like` (d, any)."""
        d = len(like)
        drawn = torch.randn(d, min(rank, d), generator=seeded(seed, "sketch"), dtype=torch.float64)
        subspace = torch.linalg.qr(drawn)[0].to(like)
        product = gram(subspace).double()
        # X'X is taken as product (subspace' product)^-1 product' = roots roots', without directions that are rounding.
        core, rotation = torch.linalg.eigh(subspace.double().T @ product)
        above_noise = core > NOISE * core[-1]
        roots = product @ (rotation[:, above_noise] / core[above_noise].sqrt())
        values, rotation = torch.linalg.eigh(roots.T @ roots)
        return cls(vectors=(roots @ (rotation / values.sqrt())).to(like), values=values.to(like))

    def solve(self, right: Tensor, scale: Tensor) -> Tensor:
        """About (I + scale X'X)^-1 right, up to a factor, for each column its own scale: (d, k) and (k,)."""
        if not len(self.values):  # X'X is zero
            return right
        shrink = (self.values[0] * scale + 1) / (self.values[:, None] * scale + 1)
        return right + self.vectors @ ((shrink - 1) * (self.vectors.T @ right))
