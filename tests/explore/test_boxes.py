"""Boxes in files and as masks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.errors import InputError
from dcgan_dist.explore.boxes import Box, masks, read_boxes, to_coco

edges = st.lists(st.integers(0, 64), min_size=2, max_size=2, unique=True).map(sorted)


@given(
    st.lists(st.tuples(st.integers(0, 99), edges, edges, st.sampled_from(["window", "lamp"])), min_size=1, max_size=8)
)
def test_boxes_come_back_from_coco_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, list[int], list[int], str]]
) -> None:
    boxes = [Box(image, x[0] / 64, y[0] / 64, x[1] / 64, y[1] / 64, name) for image, x, y, name in drawn]
    path = tmp_path_factory.mktemp("boxes") / "boxes.json"
    path.write_text(json.dumps(to_coco(boxes, 64, {"seed": 3})))

    read, info = read_boxes(path)

    assert read == boxes
    assert info == {"seed": 3}


def test_plain_lists_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        json.dumps([{"image": 4, "box": [0.25, 0, 0.5, 1]}, {"image": 1, "box": [0, 0, 1, 1], "name": "bed"}])
    )

    assert read_boxes(path, name="window")[0] == [Box(image=4, left=0.25, top=0, right=0.5, bottom=1)]


IMAGE = {"id": 1, "width": 10, "height": 10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no boxes that are understood"),
        ({"annotations": []}, "no boxes that are understood"),
        ([{"image": 0, "box": [0.5, 0, 0.5, 1]}], "no area"),
        ([{"image": 0, "box": [0, 0, 1.5, 1]}], "outside"),
        ([{"image": 0, "box": [0, 0, 1]}], "no boxes that are understood"),
        ([], "no box named"),
        ([{"image": 0, "box": [0, 0, 1, 1], "name": "lamp"}], "there are lamp"),
        ({"images": [IMAGE], "annotations": [{"image_id": 2, "bbox": [0, 0, 1, 1]}]}, "does not list"),
    ],
)
def test_files_without_usable_boxes_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(InputError, match=message):
        read_boxes(path, name="window")


def test_masks_hold_the_cells_whose_centre_is_inside() -> None:
    boxes = [Box(image=7, left=0.25, top=0.0, right=0.75, bottom=0.5), Box(image=9, left=0, top=0, right=1, bottom=1)]

    inside = masks(boxes, [5, 7], 4)

    assert inside[0].sum() == 0
    assert torch.equal(inside[1].nonzero(), torch.tensor([[0, 1], [0, 2], [1, 1], [1, 2]]))
