"""Names of what is searched together."""

from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.data.shards.images import encode_png
from dcgan_dist.dedup.corpus import open_corpus
from tests.helpers.tars import tar_of


def tar(path: Path, first: int) -> str:
    """A tar of three images, whose keys are numbers."""
    images = [(f"{first + i:03}.png", encode_png(np.full((8, 8, 3), i, np.uint8))) for i in range(3)]
    path.write_bytes(tar_of(images))
    return str(path)


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.usefixtures("ray_cluster")
def test_samples_of_tars_given_apart_that_share_a_key_are_told_apart(tmp_path: Path, cpus: int) -> None:
    corpus = open_corpus([tar(tmp_path / f"{name}.tar", 0) for name in "ab"], (), cpus)

    names = corpus.unique_keys(np.array([b"000", b"001", b"002"] * 2))

    assert names.tolist() == [b"a/000", b"a/001", b"a/002", b"b/000", b"b/001", b"b/002"]
