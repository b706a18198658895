"""Faces, real where they are at hand, drawn pictures, and a coder learnt from the faces."""

import io
import tarfile
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.similarity.recommended_codes import RecommendedCoder, fit_recommended
from dcgan_dist.similarity.thumbnails import thumbnails
from tests.conftest import REAL_DATA
from tests.memorization.test_image_sets import smooth

Images = NDArray[np.uint8]


def as_thumbnails(images: Sequence[Images]) -> Images:
    """(h, w, 3) images of one size -> (n, 3, 32, 32)."""
    return thumbnails(np.stack(images).transpose(0, 3, 1, 2))


@pytest.fixture(scope="session")
def pictures() -> Images:
    """300 smooth random thumbnails."""
    coarse = np.random.default_rng(0).integers(0, 256, (300, 3, 8, 8), dtype=np.uint8)
    return thumbnails(coarse)


@pytest.fixture(scope="session")
def all_faces() -> list[Images]:
    """The first 1,200 aligned faces, 109x89; without them smooth patches of colour, 96x96."""
    real = REAL_DATA / "faces" / "celeba_first10k_89x109-000.tar"
    if not real.exists():
        return list(smooth(1200, 96).transpose(0, 2, 3, 1))
    with tarfile.open(real) as tar:
        members = [member for member in tar if member.isfile()][:1200]
        return [np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")) for m in members]  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def faces(all_faces: list[Images]) -> list[Images]:
    """200 of them that the coder has not seen."""
    return all_faces[1000:]


@pytest.fixture(scope="session")
def codes(all_faces: list[Images]) -> RecommendedCoder:
    """Learnt from the first 1,000 faces."""
    return fit_recommended(as_thumbnails(all_faces[:1000]))
