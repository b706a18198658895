"""Named boxes on images: read from and written as COCO or plain JSON, and as masks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.untrusted import Count, Name, parse_json, parse_value, read_file, refusing

SHAPE = (
    'COCO: {"images": [{"id", "width", "height"}], "annotations": [{"image_id", "bbox": [x, y, width, height]}]}, or a list of '
    '{"image", "box": [left, top, right, bottom] as fractions of the side}'
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box; edges are fractions of the image's side, from its left and its top."""

    image: Count
    """Number of the image, for samples the number of the sample."""
    left: float
    top: float
    right: float
    bottom: float
    name: Name = "window"
    """What is in it."""


def read_boxes(path: str | Path, *, name: str = "") -> tuple[list[Box], dict[str, Any]]:
    """Boxes from a JSON file.

    Args:
        path: COCO, as the annotation page and most tools write it, or a plain list: see SHAPE.
        name: keep only boxes of this name; empty: all.

    Returns:
        The boxes, and what the file says about itself (COCO's "info"; empty for a list).

    Raises:
        InputError: no such file, neither shape, a box without area or outside its image, or none of that name.
    """
    with refusing(f"`boxes` {path} holds no boxes that are understood", SHAPE):
        try:
            text = read_file(Path(path))
        except OSError as error:
            raise InputError(
                f"`boxes` {path} cannot be read ({error.strerror}): draw some with the annotation page"
            ) from error
        if text.lstrip().startswith(b"{"):
            coco = parse_json(text, dict[str, Any])
            boxes, info = _from_coco(coco), coco.get("info", {})
        else:
            boxes, info = [_from_entry(entry) for entry in parse_json(text, list[dict[str, Any]])], {}
        boxes, info = [checked(box) for box in boxes], parse_value(info, dict[str, Any])
    named = [box for box in boxes if not name or box.name == name]
    if not named:
        names = ", ".join(sorted({box.name for box in boxes})) or "none at all"
        raise InputError(f"`boxes` {path} has no box named {name or 'anything'}: there are {names}")
    return named, info


def checked(box: Box) -> Box:
    """The same box.

    Raises:
        ValueError: it has no area or lies outside its image, or its values are of other types.
    """
    box = parse_value(box, Box)
    if not (-0.001 <= box.left < box.right <= 1.001 and -0.001 <= box.top < box.bottom <= 1.001 and box.image >= 0):
        raise ValueError(f"{box} has no area or lies outside its image")
    return box


def to_coco(boxes: Sequence[Box], image_size: int, info: dict[str, Any]) -> dict[str, Any]:
    """The content of a COCO file, in pixels of the single images."""
    names = sorted({box.name for box in boxes})
    annotations = []
    for number, box in enumerate(boxes, start=1):
        width, height = (box.right - box.left) * image_size, (box.bottom - box.top) * image_size
        annotations.append(
            {
                "id": number,
                "image_id": box.image,
                "category_id": names.index(box.name) + 1,
                "bbox": [box.left * image_size, box.top * image_size, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    return {
        "info": info,
        "images": [{"id": n, "width": image_size, "height": image_size} for n in sorted({box.image for box in boxes})],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }


def masks(boxes: Iterable[Box], images: Sequence[int], side: int) -> Tensor:
    """Which cells of a side x side grid have their centre inside a box of their image: (n, side, side) bool."""
    row_of = {image: row for row, image in enumerate(images)}
    inside = torch.zeros(len(images), side, side, dtype=torch.bool)
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    for box in boxes:
        if box.image in row_of:
            columns = (centres >= box.left) & (centres < box.right)
            rows = (centres >= box.top) & (centres < box.bottom)
            inside[row_of[box.image]] |= rows[:, None] & columns[None]
    return inside


def _from_coco(content: dict[str, Any]) -> list[Box]:
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    names = {category["id"]: category["name"] for category in content.get("categories", [])}
    boxes = []
    for annotation in content["annotations"]:
        image = annotation["image_id"]
        if image not in sizes:
            raise InputError(f"an annotation is of image {image}, which the file does not list under images")
        (x, y, wide, high), (width, height) = annotation["bbox"], sizes[image]
        edges = x / width, y / height, (x + wide) / width, (y + high) / height
        boxes.append(Box(int(image), *edges, names.get(annotation.get("category_id"), "window")))
    return boxes


def _from_entry(entry: dict[str, Any]) -> Box:
    left, top, right, bottom = map(float, entry["box"])
    return Box(int(entry["image"]), left, top, right, bottom, str(entry.get("name", "window")))
