"""Sections of the report: which job wrote a result, and how values and pictures are shown."""

import io
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from dcgan_dist.report.report_pictures import MOST_PIXELS, shrunk
from dcgan_dist.report.result_values import values
from dcgan_dist.report.sections import Result, findings, order, section


@pytest.mark.parametrize(
    ("job", "content"),
    [
        ("evaluate svhn", {"table": "svhn", "rows": []}),
        ("search", {"trials": [], "finished": 4}),
        ("dedup", {"duplicate_pairs": 3, "thinned_images": 10, "near_duplicates": 2}),
        ("check_memorization", {"verdict": "pass", "reasons": ["no copies"]}),
    ],
)
def test_a_result_that_names_its_job_is_shown_as_one_of_an_earlier_version(job: str, content: dict) -> None:
    earlier, named = Result(Path("a/result.json"), content), Result(Path("a/result.json"), {"job": job} | content)

    assert earlier.job == named.job == job.split()[0]
    assert section(earlier) == section(named)
    assert ">The paper<" in "".join(section(named))


def test_sections_follow_the_order_of_the_paper() -> None:
    jobs = ["check_memorization", "prepare", "explore turn", "dedup", "explore walk", "train", "evaluate svhn"]
    results = [Result(Path("result.json"), {"job": job}) for job in jobs]

    ordered = [result.content["job"] for result in sorted(results, key=order)]

    assert ordered == [
        "dedup",
        "check_memorization",
        "evaluate svhn",
        "explore walk",
        "explore turn",
        "prepare",
        "train",
    ]


SHARES = {name: {"k": k, "n": 4, "share": k / 4, "low": 0.0, "high": 1.0} for name, k in (("many", 3), ("few", 1))}


@pytest.mark.parametrize(
    ("name", "figures", "said"),
    [
        (
            "walk",
            {"linear": {"walk": {"features": {"ratio": 2.31}}}},
            "the largest step of the walk is 2.3 times the mean one",
        ),
        ("walk", {}, ""),
        ("windows", {"samples": 12, "boxes": 3}, ""),
        ("turn", {"exemplars": {"left": ["0"]}}, ""),
        (
            "windows",
            {
                "before": SHARES["many"],
                "convolution0": {
                    "dropped": 3,
                    "maps": 8,
                    "after": SHARES["few"],
                    "after_dropping_as_many_random_maps": SHARES["many"],
                },
            },
            "windows in 75 % of the samples; in 25 % without 3 of 8 maps of convolution0 (as many random maps: 75 %)",
        ),
        (
            "arithmetic",
            {"a - b + c": {"results": SHARES["many"], "c_alone": SHARES["few"]}},
            "a - b + c: 75 % of the results are so, 25 % of C alone",
        ),
    ],
)
def test_the_figures_of_an_exploration_in_a_phrase(name: str, figures: dict, said: str) -> None:
    assert findings(name, figures) == said


def test_values_with_the_same_names_stand_side_by_side() -> None:
    share = {"k": 3, "n": 4, "share": 0.75, "low": 0.3, "high": 0.95}
    html = values(
        {"walk": {"mean": 1.0, "most": 2.0}, "real": {"mean": 3.0, "most": 4.5}, "rate": share, "list": [1, 2]}
    )

    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", html)
    assert cells[:9] == ["", "mean", "most", "walk", "1", "2", "real", "3", "4.5"]
    assert cells[9:] == ["figure", "value", "rate", "75.0 % (3 of 4; 95 % interval 30.0 % to 95.0 %)", "list", "1, 2"]


def test_pictures_in_the_report_are_small() -> None:
    noise = torch.randint(0, 255, (900, 2800, 3), dtype=torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")

    made = Image.open(io.BytesIO(shrunk(buffer.getvalue())))

    assert made.size == (MOST_PIXELS, round(900 * MOST_PIXELS / 2800))
    assert made.format == "JPEG"
