"""The codes that are compared on judged pairs: ours, the paper's, signs of principal components, perceptual hashes."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.bench.judged_pairs import Images
from dcgan_dist.bench.neighbors_codes import principal_signs
from dcgan_dist.dedup.fit_coder import ready_coder

Codes = NDArray[np.uint8]


def codes_by_method(images: Images, out: Path, *, paper: bool) -> Iterator[tuple[str, tuple[Codes, Codes]]]:
    """Name and codes of test and training images, one method at a time; coders that `out` lacks are made."""
    train, test = images.table.gather(images.train_rows), images.table.gather(images.test_rows)
    for name in ("recommended", *(("paper",) if paper else ())):
        coder = ready_coder(name, "", out / f"coder-{name}", images.table, images.train_rows)
        yield name, (coder.encode(test), coder.encode(train))
    encode = principal_signs(train)
    yield "signs of principal components", (encode(test), encode(train))
    if importlib.util.find_spec("imagededup") is None:
        print("imagededup is not installed: pHash and dHash are left out")
        return
    from imagededup.methods import DHash, PHash  # pyright: ignore[reportMissingImports]

    for name, method in (("imagededup pHash", PHash(verbose=False)), ("imagededup dHash", DHash(verbose=False))):
        yield name, (_hashes(method, test, name), _hashes(method, train, name))


def _hashes(method: Any, images: Codes, name: str) -> Codes:
    """64-bit hashes of thumbnails: (n, 8)."""
    rows = tqdm(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), desc=name)
    return np.array([[*bytes.fromhex(method.encode_image(image_array=image))] for image in rows], np.uint8)
