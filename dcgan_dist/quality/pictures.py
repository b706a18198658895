"""Pictures for people: grids of images as PNG files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dcgan_dist.files import whole_file

GAP_COLOUR = (128, 128, 128)  # neutral: neither the frame of a dark nor of a bright image
TEXT_COLOUR, PAPER = (40, 40, 40), (255, 255, 255)
TILE = 96  # pixels that a tile should have on the screen, at least


def to_uint8(images: Tensor, output_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Round floats in output_range to uint8 [0, 255]; what lies outside is cut off, uint8 stays as it is.

    The inverse of what training does to its images: every uint8 value comes back exactly.

    Raises:
        ValueError: an image holds NaN or infinity, which has no colour.
    """
    if images.dtype == torch.uint8:
        return images
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinity: is the network without standing statistics, or did it diverge?")
    low, high = output_range
    return ((images - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)


def tile(images: Tensor, *, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Arrange images in rows, with a thin gap around each; otherwise as `save_grid`."""
    n, channels, height, width = images.shape
    assert images.dtype == torch.uint8, images.dtype
    assert channels in (1, 3), images.shape
    if not n:
        raise ValueError("a grid needs at least one image")
    layout = _layout(images, columns, scale)
    columns, scale, gap = layout["columns"], layout["scale"], layout["gap"]
    rows = -(-n // columns)

    step_x, step_y = width * scale + gap, height * scale + gap
    sheet = Image.new("RGB", (columns * step_x + gap, rows * step_y + gap), GAP_COLOUR)
    for i, image in enumerate(images.cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)):
        # Whole pixels are repeated, so that what is seen is what the network made.
        picture = Image.fromarray(image.contiguous().numpy()).resize(
            (width * scale, height * scale), Image.Resampling.NEAREST
        )
        sheet.paste(picture, (gap + i % columns * step_x, gap + i // columns * step_y))
    return sheet


def save_grid(
    images: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    scale: int | None = None,
    output_range: tuple[float, float] | Literal["tanh", "sigmoid"] = "tanh",
    caption: str = "",
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write images as one PNG; its folder is made.

    The file's text entry "grid" tells the layout as JSON (n, columns, image_size, scale, gap), so that the single images can
    be found in it again.

    Args:
        images: (n, 3 or 1, s, s), uint8 or floats in output_range.
        path: of the PNG file.
        columns: images per row; None: about as many as rows.
        scale: screen pixels per image pixel; None: tiles of about 96 pixels.
        output_range: of floats; "tanh" is [-1, 1], "sigmoid" [0, 1]. It is not guessed: dark images would be brightened.
        caption: a line below the grid, wrapped at its width.
        facts: more text for that entry, for example model and seed.

    Returns:
        The path.

    Raises:
        ValueError: no image, or one with NaN or infinity.
    """
    sheet = tile(to_uint8(images.detach(), _bounds(output_range)), columns=columns, scale=scale)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = PngInfo()
    entry.add_text("grid", json.dumps({**_layout(images, columns, scale), **(facts or {})}))
    with whole_file(path) as unfinished:
        (with_caption(sheet, caption) if caption else sheet).save(unfinished, format="PNG", pnginfo=entry)
    return path


def _layout(images: Tensor, columns: int | None, scale: int | None) -> dict[str, int]:
    """Where `tile` puts what: image i begins at gap + (i % columns, i // columns) * (image_size * scale + gap)."""
    n, _, _, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    scale = scale or max(1, round(TILE / width))
    gap = max(1, scale)  # one pixel of the images
    return {"n": n, "columns": columns, "image_size": width, "scale": scale, "gap": gap}


def save_image(image: Tensor, path: Path, *, output_range: Literal["tanh", "sigmoid"] = "tanh") -> None:
    """Write one image (3 or 1, s, s), uint8 or floats in output_range, pixel by pixel as a PNG."""
    pixels = to_uint8(image.detach(), _bounds(output_range)).cpu()
    array = pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(path, format="PNG")


def _bounds(output_range: tuple[float, float] | Literal["tanh", "sigmoid"]) -> tuple[float, float]:
    if isinstance(output_range, str):
        return (-1.0, 1.0) if output_range == "tanh" else (0.0, 1.0)
    return output_range


def with_caption(sheet: Image.Image, caption: str) -> Image.Image:
    """The picture with lines of text below it, wrapped so that nothing is cut off."""
    size = max(12, min(20, sheet.width // 45))
    font = ImageFont.load_default(size)
    margin = size // 2
    lines = _wrap(caption, font, sheet.width - 2 * margin)
    line_height = round(size * 1.4)
    needed = max(math.ceil(font.getlength(line)) for line in lines) + 2 * margin
    page = Image.new("RGB", (max(sheet.width, needed), sheet.height + line_height * len(lines) + margin * 2), PAPER)
    page.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        draw.text((margin, sheet.height + margin + i * line_height), line, fill=TEXT_COLOUR, font=font)
    return page


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
