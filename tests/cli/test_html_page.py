"""Reports in one file: everything inside, nothing executable, whatever the names of the data are."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from dcgan_dist.cli.html_page import (
    banner,
    beside,
    bullets,
    chart,
    facts,
    figure,
    folded,
    gallery,
    heading,
    opening,
    page,
    paragraph,
    save_page,
    table,
)

HOSTILE = '<script>alert("1")</script>'


def test_text_from_data_is_shown_and_never_executed() -> None:
    parts = [heading(HOSTILE), paragraph(HOSTILE), bullets([HOSTILE]), banner(HOSTILE, "bad")]
    picture = figure(Image.new("RGB", (2, 2)), HOSTILE)
    parts += [
        table([HOSTILE] * 4, [[HOSTILE] * 4], HOSTILE),
        gallery([picture]),
        opening(picture, facts([(HOSTILE, HOSTILE)])),
    ]
    parts += [beside(HOSTILE, HOSTILE), folded(HOSTILE, paragraph(HOSTILE))]

    html = page(HOSTILE, *parts)

    assert "<script" not in html
    assert (
        html.count("&lt;script&gt;") == 6 + 13 + 2 * 2 + 2 + 2 + 2
    )  # title and captions twice, headers of a wide table, too


def test_a_page_loads_nothing_from_elsewhere() -> None:
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))

    html = page("Report", figure(picture, "pixels"), figure(chart(lambda axes: axes.plot([0, 1], [0, 1])), "line"))

    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    embedded = Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2])))
    assert np.array_equal(np.asarray(embedded), np.asarray(picture))
    assert base64.b64decode(sources[1].partition(",")[2]).startswith(b"<?xml")


def test_a_chart_is_the_same_file_every_time_for_the_same_data() -> None:
    assert chart(lambda axes: axes.plot([1, 2], label="one")) == chart(lambda axes: axes.plot([1, 2], label="one"))


def test_numbers_are_shown_with_four_digits_and_words_as_they_are() -> None:
    html = table(("a", "b", "c", "d"), [(1234567, 0.000123456, True, "1234567")])

    assert "1,234,567" in html
    assert "0.0001235" in html
    assert ">yes<" in html
    assert ">1234567<" in html


def test_a_page_replaces_an_older_one_whole(tmp_path: Path) -> None:
    path = save_page(page("One"), tmp_path / "new" / "report.html")
    save_page(page("Two"), path)

    assert "Two" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
