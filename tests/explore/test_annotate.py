"""The annotation page in a real browser: load a grid, draw boxes with the mouse, save them, read them back."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dcgan_dist.explore.boxes import masks, read_boxes
from dcgan_dist.quality.pictures import save_grid
from tests.helpers.browser import Page, open_page

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


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Page]:
    with open_page(folder / "profile", folder / "downloads") as page:
        yield page


@pytest.fixture
def page(browser: Page, folder: Path) -> Page:
    browser.evaluate("typeof boxes === 'undefined' || (boxes = [])")  # else the page asks before it is left
    browser.open(ANNOTATE)
    browser.choose_file("#picture", folder / "samples.png")
    browser.wait_for("document.querySelector('#status').textContent.startsWith('0 boxes')")
    return browser


def place(page: Page, image: int, x: float, y: float) -> tuple[float, float]:
    """Window coordinates of a pixel of an image of the grid."""
    left, top = page.evaluate("(() => { const r = canvas.getBoundingClientRect(); return [r.x, r.y]; })()")
    return (
        left + GAP + image % COLUMNS * STEP + x * SCALE,
        top + GAP + image // COLUMNS * STEP + y * SCALE,
    )


def draw_box(page: Page, image: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.drag(place(page, image, *start), place(page, image, *end))


def saved(page: Page, folder: Path) -> Path:
    path = folder / "downloads" / "boxes.json"
    path.unlink(missing_ok=True)
    page.click("#save")
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, page.evaluate("document.querySelector('#status').textContent")
        time.sleep(0.05)
    return path


def test_the_page_reads_the_layout_from_the_picture(page: Page) -> None:
    fields = page.evaluate("layout()")

    assert fields == {"n": 10, "columns": COLUMNS, "image_size": SIZE, "scale": SCALE, "gap": GAP}
    assert page.evaluate("[canvas.width, canvas.height]") == [4 * STEP + GAP, 3 * STEP + GAP]


def test_boxes_drawn_with_the_mouse_are_saved_where_they_were_drawn(page: Page, folder: Path) -> None:
    draw_box(page, 0, (4, 6), (20, 16))
    draw_box(page, 9, (30, 30), (10, 8))  # from the lower right corner to the upper left
    page.evaluate("document.querySelector('#name').value = 'lamp'")
    draw_box(page, 6, (0, 0), (16, 32))

    boxes, info = read_boxes(saved(page, folder))

    assert [(box.image, box.name) for box in boxes] == [(0, "window"), (9, "window"), (6, "lamp")]
    edges = [[round(edge * SIZE) for edge in (box.left, box.top, box.right, box.bottom)] for box in boxes]
    assert edges == [[4, 6, 20, 16], [10, 8, 30, 30], [0, 0, 16, 32]]
    assert info["seed"] == "7"
    assert masks(boxes, [6], 4)[0].sum() == 8
    assert len(read_boxes(folder / "downloads" / "boxes.json", name="lamp")[0]) == 1


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
    page.choose_file("#earlier", path)
    page.wait_for("boxes.length === 1")
    draw_box(page, 3, (4, 4), (12, 12))

    assert page.evaluate("boxes.map(box => box.image)") == [1, 3]


def test_nothing_is_saved_without_a_box_and_a_picture_that_is_none_is_refused(page: Page, folder: Path) -> None:
    page.click("#save")
    assert "no box" in page.evaluate("document.querySelector('#status').textContent")

    (folder / "broken.png").write_text("no picture")
    page.choose_file("#picture", folder / "broken.png")

    page.wait_for("document.querySelector('#status').className === 'bad'")
    page.wait_for("document.querySelector('#status').textContent.includes('no PNG')")


def test_the_page_asks_the_network_for_nothing() -> None:
    text = ANNOTATE.read_text()

    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert json.dumps(text).isascii()
