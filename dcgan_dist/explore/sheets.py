"""Figures put together from grids of images: panels with titles, beside and below each other."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dcgan_dist.quality.pictures import PAPER, TEXT_COLOUR, tile, to_uint8, wrapped

MARGIN = 10
FONT_SIZE = 15


def panel(images: Tensor, title: str = "", *, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """A grid of images (n, c, s, s), uint8 or in [-1, 1], with a title above; a single long word of it widens the page."""
    picture = tile(to_uint8(images.detach()), columns=columns, scale=scale)
    if not title:
        return picture
    font = ImageFont.load_default(FONT_SIZE)
    lines = wrapped(title, font, picture.width)
    line_height = round(FONT_SIZE * 1.35)
    width = max(picture.width, *(int(font.getlength(line)) + 1 for line in lines))
    page = Image.new("RGB", (width, picture.height + line_height * len(lines) + 4), PAPER)
    drawing = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        drawing.text((0, number * line_height), line, fill=TEXT_COLOUR, font=font)
    page.paste(picture, (0, line_height * len(lines) + 4))
    return page


def beside(pictures: Sequence[Image.Image | str]) -> Image.Image:
    """Pictures from left to right, their lower edges on one line; a str is a sign between them, such as "+"."""
    font = ImageFont.load_default(2 * FONT_SIZE)
    height = max(picture.height for picture in pictures if not isinstance(picture, str))
    widths = [int(font.getlength(picture)) + 1 if isinstance(picture, str) else picture.width for picture in pictures]
    page = Image.new("RGB", (sum(widths) + MARGIN * (len(pictures) - 1), height), PAPER)
    drawing, x = ImageDraw.Draw(page), 0
    for picture, width in zip(pictures, widths, strict=True):
        if isinstance(picture, str):
            drawing.text((x, height // 2), picture, fill=TEXT_COLOUR, font=font, anchor="lm")
        else:
            page.paste(picture, (x, height - picture.height))
        x += width + MARGIN
    return page


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures from top to bottom, their left edges on one line."""
    height = sum(picture.height for picture in pictures) + MARGIN * (len(pictures) - 1)
    page, y = Image.new("RGB", (max(picture.width for picture in pictures), height), PAPER), 0
    for picture in pictures:
        page.paste(picture, (0, y))
        y += picture.height + MARGIN
    return page


def save_animation(frames: Tensor, path: Path, *, frames_per_second: int = 12) -> Path:
    """Write images (n, 3 or 1, s, s) uint8 as a GIF that plays for ever."""
    scale = max(1, 128 // frames.shape[-1])
    # One palette for all frames: with one each the colours of still parts would flicker.
    some = frames[torch.linspace(0, len(frames) - 1, min(25, len(frames))).long()]
    palette = tile(some, scale=1).quantize(255)
    # No dithering: its noise would change from frame to frame, and make the file five times as large.
    indexed = [tile(frame[None], scale=scale).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration = round(1000 / frames_per_second)
    indexed[0].save(path, format="GIF", save_all=True, append_images=indexed[1:], duration=duration, loop=0)
    return path
