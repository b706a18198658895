"""Pictures for people: grids of images as PNG files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dcgan_dist.files import whole_file
from dcgan_dist.models.pixel_ranges import Output

GAP_COLOUR = (128, 128, 128)  # neutral: neither the frame of a dark nor of a bright image
TEXT_COLOUR, PAPER = (40, 40, 40), (255, 255, 255)
TILE = 96  # pixels that a tile should have on the screen, at least


def to_uint8(images: Tensor, output: Output = "tanh") -> Tensor:
    """Round floats in the range of a generator's output to uint8 [0, 255]; uint8 stays as it is.

    The inverse of `from_uint8`: every uint8 value comes back exactly. What lies outside the range is cut off.

    Raises:
        ValueError: an image holds NaN or infinity, which has no colour.
    """
    if images.dtype == torch.uint8:
        return images
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinity: is the network without standing statistics, or did it diverge?")
    low, high = (-1.0, 1.0) if output == "tanh" else (0.0, 1.0)
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
        picture = Image.fromarray(image.contiguous().numpy())
        picture = picture.resize((width * scale, height * scale), Image.Resampling.NEAREST)
        sheet.paste(picture, (gap + i % columns * step_x, gap + i // columns * step_y))
    return sheet


def save_grid(
    images: Tensor,
    path: str | Path,
    *,
    columns: int | None = None,
    scale: int | None = None,
    output: Output = "tanh",
    caption: str = "",
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write images as one PNG; its folder is made.

    The file's text entry "grid" tells the layout as JSON (n, columns, image_size, scale, gap), so that the single images can
    be found in it again.

    Args:
        images: (n, 3 or 1, s, s), uint8 or floats.
        path: of the PNG file.
        columns: images per row; None: about as many as rows.
        scale: screen pixels per image pixel; None: tiles of about 96 pixels.
        output: range of floats, as in `to_uint8`. It is not guessed: dark images would be brightened.
        caption: a line below the grid, wrapped at its width.
        facts: more text for that entry, for example model and seed.

    Returns:
        The path.

    Raises:
        ValueError: no image, or one with NaN or infinity.
    """
    sheet = tile(to_uint8(images.detach(), output), columns=columns, scale=scale)
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


def with_caption(sheet: Image.Image, caption: str) -> Image.Image:
    """The picture with lines of text below it, wrapped so that nothing is cut off."""
    size = max(12, min(20, sheet.width // 45))
    font = ImageFont.load_default(size)
    margin = size // 2
    lines = wrapped(caption, font, sheet.width - 2 * margin)
    line_height = round(size * 1.4)
    needed = max(math.ceil(font.getlength(line)) for line in lines) + 2 * margin
    page = Image.new("RGB", (max(sheet.width, needed), sheet.height + line_height * len(lines) + margin * 2), PAPER)
    page.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(lines):
        draw.text((margin, sheet.height + margin + i * line_height), line, fill=TEXT_COLOUR, font=font)
    return page


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines of text no wider than `width` pixels, but for a single longer word."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
