"""Codes to search: uniform ones, and copies of real images' codes with as many flipped bits as real copies have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray

from dcgan_dist.neighbors.pairs import Codes
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source

Images = NDArray[np.uint8]  # (n, 32, 32, 3)
Encode = Callable[[Images], Codes]

_JPEG_QUALITY = 70


def uniform_codes(n: int, code_bits: int = 128) -> Codes:
    """(n, code_bits / 8) uint8."""
    return np.random.default_rng(0).integers(0, 256, (n, code_bits // 8), np.uint8)


def cifar10_images(path: str) -> Images:
    """All images of a folder that `jobs/prepare_cifar10.py --source` reads."""
    source = Cifar10Source(path=path)
    return np.stack([sample.pixels for item in source.items() for sample in source.read(item)])  # type: ignore[union-attr]


def pca_sign(images: Images, code_bits: int = 128, fitted_on: int = 20_000) -> Encode:
    """The plain code of real images: signs of their first principal components.

    Any other function from images to packed codes serves as well, for example `encode` of a learned coder.
    """
    some = np.random.default_rng(0).permutation(len(images))[:fitted_on]
    x = _flat(images[some])
    mean = x.mean(0)
    torch.manual_seed(0)
    components = torch.svd_lowrank(x - mean, q=code_bits + 16, niter=4)[2][:, :code_bits]

    def encode(images: Images) -> Codes:
        blocks = [images[start : start + 4096] for start in range(0, len(images), 4096)]
        return np.concatenate([np.packbits(((_flat(part) - mean) @ components > 0).numpy(), axis=1) for part in blocks])

    return encode


def flip_rates(images: Images, encode: Encode, measured_on: int = 5_000) -> dict[str, NDArray[np.float64]]:
    """Share of images whose bit j is another one in a copy, (code_bits,) for each kind of copy."""
    some = images[np.random.default_rng(1).permutation(len(images))[:measured_on]]
    copies = {
        f"JPEG {_JPEG_QUALITY}": np.stack([_recompressed(image) for image in some]),
        "shift 1 px": np.pad(some, ((0, 0), (0, 0), (1, 0), (0, 0)), mode="edge")[:, :, :-1],
    }
    own = encode(some)
    return {name: np.unpackbits(own ^ encode(copy), axis=1).mean(0) for name, copy in copies.items()}


def noisy_copies(codes: Codes, n: int, rates: dict[str, NDArray[np.float64]]) -> Codes:
    """n copies of codes drawn with replacement, of each kind as many: every bit flipped at its own rate, independently."""
    rng = np.random.default_rng(2)
    copies = codes[rng.integers(0, len(codes), n)]
    for part, kind in zip(np.array_split(np.arange(n), len(rates)), rates.values(), strict=True):
        for rows in np.array_split(part, max(1, len(part) // 100_000)):
            flips = rng.random((len(rows), len(kind)), np.float32) < kind.astype(np.float32)
            copies[rows] ^= np.packbits(flips, axis=1)
    return copies[rng.permutation(n)]


def _flat(images: Images) -> torch.Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255


def _recompressed(image: Any) -> Any:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=_JPEG_QUALITY, colorsubsampling="420")
    return simplejpeg.decode_jpeg(jpeg)
