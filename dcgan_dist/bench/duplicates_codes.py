"""The codes that are compared on judged pairs: ours, the paper's, signs of principal components, perceptual hashes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dcgan_dist.bench.judged_pairs import Images
from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.dedup.fit_coder import ready_coder
from dcgan_dist.similarity.coder_files import pack_signs

Codes = NDArray[np.uint8]


def codes_by_method(images: Images, out: Path, *, paper: bool) -> Iterator[tuple[str, tuple[Codes, Codes]]]:
    """Name and codes of test and training images, one method at a time.

    Args:
        images: that are compared.
        out: folder of the coders; those that it lacks are made.
        paper: also the paper's autoencoder.
    """
    train, test = images.table.gather(images.train_rows), images.table.gather(images.test_rows)
    for name in ("recommended", *(("paper",) if paper else ())):
        coder, _ = ready_coder(name, "", out, images.table, images.train_rows, print)
        yield name, (coder.encode(test), coder.encode(train))
    yield "signs of principal components", principal_signs(test, train)
    if importlib.util.find_spec("imagededup") is None:
        print("imagededup is not installed: pHash and dHash are left out")
        return
    from imagededup.methods import DHash, PHash  # pyright: ignore[reportMissingImports]

    for name, method in (("imagededup pHash", PHash(verbose=False)), ("imagededup dHash", DHash(verbose=False))):
        yield name, (_hashes(method, test, name), _hashes(method, train, name))


def principal_signs(test: Codes, train: Codes, bits: int = 128) -> tuple[Codes, Codes]:
    """Signs of the projections of raw pixels on the first principal components of the training images."""
    flat = train.reshape(len(train), -1).astype(np.float32)
    mean = flat.mean(0)
    flat -= mean
    size = flat.shape[1]
    vectors = scipy.linalg.eigh(flat.T @ flat, subset_by_index=[size - bits, size - 1])[1]
    return pack_signs((test.reshape(len(test), -1) - mean) @ vectors), pack_signs(flat @ vectors)


def _hashes(method: Any, images: Codes, name: str) -> Codes:
    """64-bit hashes of thumbnails: (n, 8)."""
    out = np.empty((len(images), 8), np.uint8)
    with progress_bar(len(images), name) as bar:
        for row, image in enumerate(images.transpose(0, 2, 3, 1)):
            out[row] = np.frombuffer(
                bytes.fromhex(method.encode_image(image_array=np.ascontiguousarray(image))), np.uint8
            )
            bar.update(1)
    return out
