"""Codes to search: uniform ones, and copies of real images' codes with as many flipped bits as real copies have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import simplejpeg
from numpy.typing import NDArray

from dcgan_dist.neighbors.pairs import Codes
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.similarity.coder_files import pack_signs

Images = NDArray[np.uint8]  # (n, 32, 32, 3)

_JPEG_QUALITY = 70


def uniform_codes(n: int, code_bits: int = 128) -> Codes:
    """(n, code_bits / 8) uint8."""
    return np.random.default_rng(0).integers(0, 256, (n, code_bits // 8), np.uint8)


def cifar10_images(path: str) -> Images:
    """All images of a folder that `jobs/prepare_cifar10.py --source` reads."""
    source = Cifar10Source(path=path)
    return np.stack([sample.pixels for item in source.items() for sample in source.read(item)])  # type: ignore[union-attr]


def principal_signs(fitted_on: NDArray[np.uint8], bits: int = 128) -> Callable[[NDArray[np.uint8]], Codes]:
    """From images to the plain code of real ones: signs of their projections on the first principal components."""
    flat = fitted_on.reshape(len(fitted_on), -1).astype(np.float32)
    mean = flat.mean(0)
    flat -= mean
    size = flat.shape[1]
    vectors = scipy.linalg.eigh(flat.T @ flat, subset_by_index=[size - bits, size - 1])[1]
    return lambda images: pack_signs((images.reshape(len(images), -1) - mean) @ vectors)


def flip_rates(
    images: Images, encode: Callable[[Images], Codes], measured_on: int = 5_000
) -> dict[str, NDArray[np.float64]]:
    """Share of images whose bit j is another one in a copy, (code_bits,) for each kind of copy."""
    some = images[np.random.default_rng(1).permutation(len(images))[:measured_on]]
    copies = {
        f"JPEG {_JPEG_QUALITY}": np.stack([_recompressed(image) for image in some]),
        "shift 1 px": np.pad(some, ((0, 0), (0, 0), (1, 0), (0, 0)), mode="edge")[:, :, :-1],
    }
    originals = encode(some)
    return {name: np.unpackbits(originals ^ encode(copy), axis=1).mean(0) for name, copy in copies.items()}


def noisy_copies(codes: Codes, n: int, rates: dict[str, NDArray[np.float64]]) -> Codes:
    """n copies of codes drawn with replacement, of each kind as many: every bit flipped at its own rate, independently."""
    rng = np.random.default_rng(2)
    copies = codes[rng.integers(0, len(codes), n)]
    for block, rate in zip(np.array_split(np.arange(n), len(rates)), rates.values(), strict=True):
        for rows in np.array_split(block, max(1, len(block) // 100_000)):
            flips = rng.random((len(rows), len(rate)), np.float32) < rate.astype(np.float32)
            copies[rows] ^= np.packbits(flips, axis=1)
    return copies[rng.permutation(n)]


def _recompressed(image: Any) -> Any:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=_JPEG_QUALITY, colorsubsampling="420")
    return simplejpeg.decode_jpeg(jpeg)
