"""The annotation page in a real browser: load a grid, draw boxes with the mouse, save them, read them back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from dcgan_dist.explore.boxes import masks, read_boxes
from dcgan_dist.quality.pictures import save_grid

ANNOTATE = Path(__file__).parents[2] / "dcgan_dist" / "explore" / "annotate.html"
SIZE, SCALE, COLUMNS = 32, 3, 4
STEP, GAP = SIZE * SCALE + SCALE, SCALE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotate")
    images = torch.linspace(-1, 1, 10)[:, None, None, None].expand(10, 3, SIZE, SIZE)
    save_grid(
        images, folder / "samples.png", columns=COLUMNS, scale=SCALE, facts={"seed": "7", "model": "models:/rooms/1"}
    )
    return folder


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    with browser.new_page(viewport={"width": 1400, "height": 1000}) as page:
        page.goto(ANNOTATE.as_uri())
        page.set_input_files("#picture", folder / "samples.png")
        expect(page.locator("#status")).to_have_text(re.compile("^0 boxes"))
        yield page


def draw_box(page: Page, image: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse from one pixel of an image of the grid to another."""
    left, top = page.evaluate("(() => { const r = canvas.getBoundingClientRect(); return [r.x, r.y]; })()")
    left, top = left + GAP + image % COLUMNS * STEP, top + GAP + image // COLUMNS * STEP
    page.mouse.move(left + start[0] * SCALE, top + start[1] * SCALE)
    page.mouse.down()
    page.mouse.move(left + end[0] * SCALE, top + end[1] * SCALE, steps=2)
    page.mouse.up()


def saved(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "boxes.json"
    download.value.save_as(folder / "boxes.json")
    return folder / "boxes.json"


def test_the_page_reads_the_layout_from_the_picture(page: Page) -> None:
    fields = page.evaluate("layout()")

    assert fields == {"n": 10, "columns": COLUMNS, "image_size": SIZE, "scale": SCALE, "gap": GAP}
    assert page.evaluate("[canvas.width, canvas.height]") == [4 * STEP + GAP, 3 * STEP + GAP]


def test_boxes_drawn_with_the_mouse_are_saved_where_they_were_drawn(page: Page, folder: Path) -> None:
    draw_box(page, 0, (4, 6), (20, 16))
    draw_box(page, 9, (30, 30), (10, 8))  # from the lower right corner to the upper left
    page.fill("#name", "lamp")
    draw_box(page, 6, (0, 0), (16, 32))

    boxes, info = read_boxes(saved(page, folder))

    assert [(box.image, box.name) for box in boxes] == [(0, "window"), (9, "window"), (6, "lamp")]
    edges = [[round(edge * SIZE) for edge in (box.left, box.top, box.right, box.bottom)] for box in boxes]
    assert edges == [[4, 6, 20, 16], [10, 8, 30, 30], [0, 0, 16, 32]]
    assert info["seed"] == "7"
    assert masks(boxes, [6], 4)[0].sum() == 8
    assert len(read_boxes(folder / "boxes.json", name="lamp")[0]) == 1


def test_a_box_is_cut_at_its_image_and_a_click_or_a_start_on_a_gap_makes_none(page: Page) -> None:
    draw_box(page, 5, (20, 20), (60, 60))
    draw_box(page, 1, (5, 5), (5, 5))
    draw_box(page, 2, (-0.5, 5), (10, 10))

    boxes = page.evaluate("boxes")

    assert len(boxes) == 1
    assert boxes[0]["image"] == 5
    assert [boxes[0]["right"], boxes[0]["bottom"]] == [SIZE, SIZE]


def test_boxes_can_be_taken_back_removed_and_gone_on_with(page: Page, folder: Path) -> None:
    for image in range(3):
        draw_box(page, image, (4, 4), (12, 12))
    page.click("#undo")
    assert page.evaluate("boxes.map(box => box.image)") == [0, 1]
    page.click("#list li:first-child button")
    assert page.evaluate("boxes.map(box => box.image)") == [1]
    path = saved(page, folder)

    page.evaluate("boxes = []")
    page.set_input_files("#earlier", path)
    expect(page.locator("#list li")).to_have_count(1)
    draw_box(page, 3, (4, 4), (12, 12))

    assert page.evaluate("boxes.map(box => box.image)") == [1, 3]


def test_nothing_is_saved_without_a_box_and_a_picture_that_is_none_is_refused(page: Page, folder: Path) -> None:
    page.click("#save")
    expect(page.locator("#status")).to_contain_text("no box")

    (folder / "broken.png").write_text("no picture")
    page.set_input_files("#picture", folder / "broken.png")

    expect(page.locator("#status.bad")).to_contain_text("no PNG")


def test_the_page_asks_the_network_for_nothing() -> None:
    text = ANNOTATE.read_text()

    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert json.dumps(text).isascii()
