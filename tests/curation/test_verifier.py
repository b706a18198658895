"""The verifier: symmetric, blind to brightness and frames, sure about near copies, and not fooled by strangers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dcgan_dist.curation.verifier import THRESHOLD, score_pairs
from dcgan_dist.data.attacks import ATTACKS, attack
from tests.curation.conftest import as_thumbnails

Images = NDArray[np.uint8]


@pytest.mark.parametrize("name", ATTACKS)
def test_near_copies_of_faces_are_duplicates(name: str, faces: list[Images]) -> None:
    copies = [attack(name, image, i) for i, image in enumerate(faces[:100])]

    scores = score_pairs(as_thumbnails(faces[:100]), as_thumbnails(copies))

    assert (scores >= THRESHOLD).mean() >= 0.97


def test_other_faces_are_not_duplicates(all_faces: list[Images]) -> None:
    images = as_thumbnails(all_faces)

    scores = score_pairs(images, np.roll(images, 1, axis=0))

    assert (scores >= THRESHOLD).mean() == 0


def test_the_order_of_a_pair_does_not_count(faces: list[Images]) -> None:
    images = as_thumbnails(faces)
    copies = as_thumbnails([attack("border-around", image, i) for i, image in enumerate(faces)])

    for others in (copies, np.roll(images, 1, axis=0)):
        np.testing.assert_allclose(score_pairs(images, others), score_pairs(others, images), atol=1e-5)


def test_a_score_does_not_depend_on_the_other_pairs(faces: list[Images]) -> None:
    images = as_thumbnails(faces)
    others = np.roll(images, 1, axis=0)

    together = score_pairs(images, others)

    alone = np.concatenate([score_pairs(images[i : i + 1], others[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(together[:20], alone, atol=1e-5)


def test_brightness_and_contrast_do_not_count(faces: list[Images]) -> None:
    images = as_thumbnails(faces)
    darker = (images * 0.6 + 20).astype(np.uint8)

    assert score_pairs(images, darker).min() > 0.97


def test_a_frame_does_not_count(faces: list[Images]) -> None:
    images = as_thumbnails(faces)
    framed = np.full_like(images, 255)
    framed[:, :, 3:-3, 3:-3] = images[:, :, 3:-3, 3:-3]

    assert score_pairs(images, framed).min() > 0.97


def test_a_mirror_image_of_a_lopsided_picture_is_another_picture(pictures: Images) -> None:
    assert score_pairs(pictures, pictures[:, :, :, ::-1].copy()).max() < THRESHOLD


def test_flat_pictures_are_no_duplicates_of_anything() -> None:
    noise = np.random.default_rng(0).integers(127, 130, (20, 3, 32, 32), dtype=np.uint8)

    assert score_pairs(noise, np.roll(noise, 1, axis=0)).max() < THRESHOLD


def test_no_pairs_give_no_scores() -> None:
    nothing = np.zeros((0, 3, 32, 32), np.uint8)

    assert score_pairs(nothing, nothing).shape == (0,)


def test_turned_copies_score_less_than_resized_ones(faces: list[Images]) -> None:
    images = torch.from_numpy(as_thumbnails(faces))

    def moved(matrix: list[list[float]]) -> Images:
        maps = torch.tensor([[*row, 0.0] for row in matrix]).expand(len(images), 2, 3)
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False).byte().numpy()

    turned = score_pairs(images.numpy(), moved([[0.996, -0.087], [0.087, 0.996]]))
    resized = score_pairs(images.numpy(), moved([[0.92, 0.0], [0.0, 0.92]]))

    assert np.median(turned) < np.median(resized) - 0.02
