"""The pages in a real browser, as wide as a phone's screen and as a desk's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from dcgan_dist.search.search_page import save_picture, search_page
from tests.helpers.jobs import draw_rooms, load_job
from tests.helpers.screenshots import HEIGHT, WIDTHS, open_page
from tests.jobs.test_explore import save_networks
from tests.memorization.test_image_sets import smooth

FIRST_SCREEN = {
    "report": [
        "Quality: far from real",
        "Copies: fail",
        "Trained on",
        "rooms",
        "640 images seen",
        "copy a training image",
    ],
    "dedup": ["are near duplicates to be removed", "No file was deleted", "How sure", "Removed images"],
    "memorization": ["Copies: fail", "copy a training image", "Closest sample", "By chance", "Sensitivity"],
    "search": [
        "Best settings: validation error 20.00 % (28 of 140 images)",
        "not tested on the test set",
        "12 finished",
        "How sure",
    ],
}
"""What a reader of each page is told without scrolling."""


def search_result() -> dict[str, Any]:
    """Twelve trials, with names and a fault as long as they come."""
    trials: list[dict[str, Any]] = [
        {
            "trial": number,
            "config": {
                "optimizer.lr": 1e-3 * (number + 1),
                "classifier.model.discriminator_width": 2 + number,
                "batch_size": 50,
            },
            "status": "FINISHED",
            "validation_error_percent": 20.0 + number,
        }
        for number in range(12)
    ]
    return {
        "job": "search",
        "run_name": "search-8f14e45fceea167a5a36dedd4bea2543",
        "data": "svhn (small): 230 labels (23 per class) of 560 images, 140 validation images, 200 test images",
        "validation_images": 140,
        "finished": 12,
        "failed": 1,
        "stopped": 0,
        "best": trials[0],
        "row": {"data": "svhn", "validation_error_percent": None, "test_error_percent": None},
        "comparable": False,
        "deviations": ["`protocol=small`: 230 labels, not SVHN's 1,000 of 73,257; not comparable"],
        "trials": [
            *trials,
            {"trial": 12, "config": {}, "status": "FAILED", "error": "NonFiniteError: " + "loss/" * 40},
        ],
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of jobs on a few images, and a report on all of them."""
    folder = tmp_path_factory.mktemp("a-folder-whose-name-is-long" * 3)
    results, tracking = folder / "results", ["--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    rooms = draw_rooms(folder / "rooms", 300, "--duplicates", "0.1")
    dedup = ["--shards", str(rooms), "--out", str(results / "dedup"), "--cpus", "1", *tracking]
    assert load_job("dedup_lsun")(dedup) == 0

    train = smooth(60)
    for name, images in (("train", train), ("samples", train[:40]), ("held-out", smooth(50, seed=1))):
        np.save(folder / f"{name}.npy", images)
    places = [word for name in ("train", "samples", "held-out") for word in (f"--{name}", str(folder / f"{name}.npy"))]
    assert load_job("check_memorization")([*places, "--out", str(results / "memorization")]) == 0

    (results / "search").mkdir()
    (results / "search" / "report.html").write_text(search_page(search_result()))
    save_picture(search_result(), results / "search" / "search.png")
    training = {
        "job": "train",
        "images_seen": 640,
        "sha256": "f" * 64,
        "config": {"dataset": "rooms", "preset": "demo32"},
        "quality": {"quality/frechet_random": 12.5},
    }
    for name, content in (("search", search_result()), ("train", training)):
        (results / name).mkdir(exist_ok=True)
        (results / name / "result.json").write_text(json.dumps(content))
    model = save_networks(folder / "checkpoint")
    report = [
        "--model",
        str(model),
        "--shards",
        str(rooms),
        "--no-track",
        "--results",
        str(results),
        "--out",
        str(folder / "report.html"),
    ]
    assert load_job("report")(report) == 0
    return {"report": folder / "report.html"} | {
        name: results / name / "report.html" for name in ("dedup", "memorization", "search")
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", FIRST_SCREEN)
def test_a_page_fits_the_screen_and_opens_on_what_matters(
    name: str, width: int, pages: dict[str, Path], browser: Browser
) -> None:
    with open_page(browser, pages[name], width) as page:
        for text in FIRST_SCREEN[name]:
            box = page.get_by_text(text).first.bounding_box()
            assert box, f"{text!r} is not shown"
            assert box["y"] + box["height"] <= HEIGHT, f"{text!r} is below the first screen"
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        too_wide = (
            "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
        )
        assert page.evaluate(too_wide) == 0
        assert page.locator("img").count() > 0
        assert page.evaluate("[...document.images].every(image => image.alt.trim() && image.naturalWidth)")


def test_a_page_is_dark_where_the_reader_wants_it_dark(pages: dict[str, Path], browser: Browser) -> None:
    brightness = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).reduce((sum, value) => sum + +value, 0)"
    with open_page(browser, pages["dedup"], 1400) as light, open_page(browser, pages["dedup"], 1400, "dark") as dark:
        shown = [
            [page.evaluate(brightness.format(key)) for key in ("backgroundColor", "color")] for page in (light, dark)
        ]

    assert shown[0][0] > 600 > 200 > shown[0][1]
    assert shown[1][0] < 150 < 600 < shown[1][1]
