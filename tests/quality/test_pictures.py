"""Grids: every pixel where it belongs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_dist.models.latents import seeded
from dcgan_dist.quality.pictures import GAP_COLOUR, PAPER, save_grid, to_uint8


def test_to_uint8_undoes_what_training_does_to_images() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)

    assert torch.equal(to_uint8(pixels.float() / 127.5 - 1), pixels)
    assert torch.equal(to_uint8(pixels.float() / 255, "sigmoid"), pixels)
    assert to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_an_image_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match="standing statistics"):
        to_uint8(torch.full((1, 3, 4, 4), torch.nan))


@pytest.mark.parametrize(("n", "columns", "channels"), [(10, 4, 3), (3, None, 1), (1, 8, 3)])
def test_grid_shows_each_image_once_in_order_with_a_gap(
    tmp_path: Path, n: int, columns: int | None, channels: int
) -> None:
    images = torch.randint(0, 256, (n, channels, 6, 6), generator=seeded(n), dtype=torch.uint8)

    path = save_grid(images, tmp_path / "new" / "grid.png", columns=columns, scale=2)

    sheet = np.array(Image.open(path))
    across = min(columns or 2, n)
    assert sheet.shape == (-(-n // across) * 14 + 2, across * 14 + 2, 3)
    covered = np.zeros(sheet.shape[:2], dtype=bool)
    for i, image in enumerate(images):
        y, x = 2 + i // across * 14, 2 + i % across * 14
        shown = sheet[y : y + 12, x : x + 12]
        expected = image.expand(3, -1, -1).permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(shown, expected)
        covered[y : y + 12, x : x + 12] = True
    assert (sheet[~covered] == GAP_COLOUR).all()
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


def test_a_range_is_taken_as_said_and_not_guessed(tmp_path: Path) -> None:
    grey = torch.full((1, 1, 4, 4), 0.5)

    tanh = Image.open(save_grid(grey, tmp_path / "a.png", scale=1)).getpixel((2, 2))
    sigmoid = Image.open(save_grid(grey, tmp_path / "b.png", scale=1, output="sigmoid")).getpixel((2, 2))

    assert (tanh, sigmoid) == ((191,) * 3, (128,) * 3)


@pytest.mark.parametrize("caption", ["short", "many words " * 30, "one_endless_word_" * 20])
def test_no_caption_is_cut_off(tmp_path: Path, caption: str) -> None:
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)

    bare = Image.open(save_grid(images, tmp_path / "bare.png"))
    sheet = np.array(Image.open(save_grid(images, tmp_path / "caption.png", caption=caption)))

    paper = sheet[bare.height :]
    inked = np.argwhere((paper != PAPER).any(2))
    assert len(inked)
    assert inked.min() > 0, "ink touches the upper or left edge"
    assert (inked.max(0) < np.array(paper.shape[:2]) - 1).all(), "ink touches the lower or right edge"


def test_small_images_are_enlarged_by_whole_factors(tmp_path: Path) -> None:
    for size in (28, 32, 64, 128):
        width = Image.open(save_grid(torch.zeros(1, 1, size, size), tmp_path / f"{size}.png")).width
        scale = (width - 2 * max(1, round(96 / size))) / size
        assert scale == round(scale)
        assert 64 <= scale * size <= 144


def test_an_empty_grid_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        save_grid(torch.zeros(0, 3, 8, 8), tmp_path / "grid.png")
