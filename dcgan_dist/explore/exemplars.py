"""Choosing examples of a concept: by number, from files, or by the score of a classifier."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dcgan_dist.errors import InputError
from dcgan_dist.explore.drawing import draw
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.untrusted import read_arrays, refusing

FORMS = "N (sample number N of `seed`, as the job `sample` draws it), SEED:N, or a .npy file of z (n, latent_dim)"


def read_exemplars(items: Sequence[str], generator: Generator, *, seed: int, field: str) -> Tensor:
    """z of examples.

    Args:
        items: see FORMS.
        generator: whose z they are.
        seed: of items that name none.
        field: of the options, for messages.

    Returns:
        (n, latent_dim).

    Raises:
        InputError: an item of no known form, or a file that holds no z of this generator.
    """
    latents = []
    for item in items:
        if match := re.fullmatch(r"(?:(\d+):)?(\d+)", item):
            number = int(match[2])
            latents.append(fixed_latents(generator, number, number + 1, seed=int(match[1] or seed))[0])
        elif item.endswith(".npy"):
            latents.append(_read_file(item, generator.config.latent_dim, field))
        else:
            raise InputError(f"`{field}` {item} is none of: {FORMS}")
    weight = next(generator.parameters())
    return torch.cat([z.to(weight) for z in latents])


def _read_file(path: str, latent_dim: int, field: str) -> Tensor:
    with refusing(f"`{field}` {path} cannot be read as an array", "write it with numpy.save"):
        z = np.atleast_2d(read_arrays(Path(path))[""])
    if z.ndim != 2 or z.shape[1] != latent_dim or not np.issubdtype(z.dtype, np.floating) or not np.isfinite(z).all():
        raise InputError(
            f"`{field}` {path} holds {z.dtype} {z.shape}: finite floats (n, {latent_dim}) are wanted, z of this model"
        )
    return torch.from_numpy(z)


def score_samples(
    generator: Generator,
    n: int,
    score: Callable[[Tensor], NDArray[np.float64]],
    *,
    seed: int,
    label: int = 0,
) -> NDArray[np.float64]:
    """Scores (n,) of samples 0 to n - 1 of a seed, drawn a few at a time."""
    scores = []
    with tqdm(total=n, unit="img", desc="samples scored", mininterval=5) as bar:
        for start in range(0, n, 256):
            z, _ = fixed_latents(generator, start, min(n, start + 256), seed=seed)
            scores.append(score(draw(generator, z, label=label)))
            bar.update(len(z))
    return np.concatenate(scores)


def disjoint_groups(scores: NDArray[np.float64], size: int, groups: int, *, seed: int) -> NDArray[np.int64]:
    """Groups drawn at random from the samples with the highest scores, no sample in two of them.

    At random, since the very highest scores of a classifier belong to the strangest images.

    Returns:
        (groups, size) sample numbers.
    """
    best = np.argsort(-scores, kind="stable")[: size * groups]
    return np.random.default_rng(seed).permutation(best).reshape(groups, size)
