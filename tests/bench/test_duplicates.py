"""The table of codes against judged pairs: unjudged pairs count or not, and planted pairs are found."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.bench.__main__ import main
from dcgan_dist.bench.duplicates import rank
from dcgan_dist.data.shards.images import encode_png
from dcgan_dist.errors import InputError
from dcgan_dist.similarity.thumbnails import thumbnails
from tests.helpers.tars import tar_of


def test_unjudged_pairs_count_as_false_or_are_left_out() -> None:
    distances, alike = np.array([1, 3]), np.array([True, True])

    assert rank(distances, alike).average_precision == 1
    assert rank(distances, alike, np.array([0, 0, 2, 0])).average_precision == pytest.approx((1 + 2 / 4) / 2)


def test_images_that_found_nothing_count_as_missed() -> None:
    ranking = rank(np.array([5, 7]), np.array([True, False]), total=2)

    assert (ranking.recall_99, ranking.average_precision) == (0.5, 0.5)
    assert rank(np.array([3]), np.array([False]), total=2).recall_99 == 0


@pytest.fixture
def tars(tmp_path: Path) -> dict[str, str]:
    """300 training images; even test images are noisy copies of the first ones, with their pairs judged."""
    rng = np.random.default_rng(0)
    train = thumbnails(rng.integers(0, 256, (300, 3, 8, 8), dtype=np.uint8))
    strangers = thumbnails(rng.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8))
    copies = np.clip(train[:20] + rng.normal(0, 4, train[:20].shape), 0, 255).astype(np.uint8)
    test = np.stack([copies[i] if i % 4 == 0 else strangers[i] for i in range(20)])
    for name, images in (("train", train), ("test", test)):
        files = ((f"{name}/{i:05d}_thing.png", encode_png(image.transpose(1, 2, 0))) for i, image in enumerate(images))
        (tmp_path / f"{name}.tar").write_bytes(tar_of(files))
    with (tmp_path / "judged.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("TestID", "TrainID", "Judgment"))
        writer.writerows([(i, i, 1) for i in range(0, 20, 4)] + [(2, 5, 3)])
    return {name: str(tmp_path / name) for name in ("train.tar", "test.tar", "judged.csv", "out", "table.json")}


def compare(tars: dict[str, str], judged: str) -> int:
    paths = ["--shards", tars["train.tar"], "--protect", tars["test.tar"], "--judged", judged]
    return main(["duplicates", *paths, "--out", tars["out"], "--json", tars["table.json"]])


def test_planted_pairs_are_found_by_the_recommended_code(tars: dict[str, str]) -> None:
    assert compare(tars, tars["judged.csv"]) == 0

    result = json.loads(Path(tars["table.json"]).read_text())
    assert (result["test_images"], result["judged_pairs"], result["same_photograph"]) == (10, 6, 5)
    recommended = result["methods"]["recommended"]
    assert recommended["image_ap"] == recommended["pair_ap_wrong"] == 1
    assert "signs of principal components" in result["methods"]


def test_judged_pairs_of_other_images_are_refused(tars: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("TestID,TrainID,Judgment\n900,1,1\n")

    with pytest.raises(InputError, match="judged"):
        compare(tars, str(other))
