"""The table of codes against judged pairs: its averages are scikit-learn's, and planted pairs are found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from dcgan_dist.bench import duplicates
from dcgan_dist.bench.average_precision import rank_images, rank_pairs
from dcgan_dist.data.shards.images import encode_png
from dcgan_dist.errors import InputError
from dcgan_dist.similarity.thumbnails import thumbnails
from tests.helpers.tars import tar_of

ranked = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40).filter(
    lambda pairs: any(alike for _, alike in pairs)
)


@settings(deadline=None, max_examples=60)
@given(ranked)
def test_average_precision_and_recall_are_those_of_scikit_learn_ties_included(pairs: list[tuple[int, bool]]) -> None:
    distances, alike = np.array([d for d, _ in pairs]), np.array([a for _, a in pairs])

    ranking = rank_pairs(distances, alike)

    precision, recall, _ = precision_recall_curve(alike, -distances)
    assert ranking.average_precision == pytest.approx(average_precision_score(alike, -distances))
    assert ranking.recall_at(0.75) == pytest.approx(recall[precision >= 0.75].max())


def test_unjudged_pairs_count_as_false_or_are_left_out() -> None:
    distances, alike = np.array([1, 3]), np.array([True, True])

    assert rank_pairs(distances, alike).average_precision == 1
    assert rank_pairs(distances, alike, np.array([0, 0, 2, 0])).average_precision == pytest.approx((1 + 2 / 4) / 2)


def test_images_that_found_nothing_count_as_missed() -> None:
    ranking = rank_images(np.array([5, 99, 7]), np.array([True, True, False]), missing=99)

    assert ranking.recall_at(0.99) == 0.5


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
    return duplicates.main([*paths, "--out", tars["out"], "--json", tars["table.json"]])


def test_planted_pairs_are_found_by_the_recommended_code(tars: dict[str, str]) -> None:
    assert compare(tars, tars["judged.csv"]) == 0

    result = json.loads(Path(tars["table.json"]).read_text())
    assert (result["test_images"], result["judged_pairs"], result["same_photograph"]) == (10, 6, 5)
    found = result["methods"]["recommended"]
    assert found["image_ap"] == found["pair_ap_wrong"] == 1
    assert "signs of principal components" in result["methods"]


def test_judged_pairs_of_other_images_are_refused(tars: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("TestID,TrainID,Judgment\n900,1,1\n")

    with pytest.raises(InputError, match="judged"):
        compare(tars, str(other))
