"""Data sets for learning from few labels: digits, SVHN's files, shards made of them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dcgan_dist.data.label_draws import SVHN_SAMPLES
from dcgan_dist.errors import InputError
from dcgan_dist.search.few_labels import LabelledImages, few_labels, open_few_labels, read_splits
from tests.helpers.jobs import load_job
from tests.helpers.search import write_mat


def splits_like_svhn() -> dict[str, LabelledImages]:
    """Splits with SVHN's numbers of images, which take no memory; the labels are random."""
    random = np.random.default_rng(0)
    pixel = np.zeros((1, 1, 1, 1), np.uint8)
    return {
        split: LabelledImages(np.broadcast_to(pixel, (n, 3, 32, 32)), random.integers(0, 10, n))
        for split, n in SVHN_SAMPLES.items()
    }


def test_digits_are_the_real_ones_and_no_test_image_is_ever_drawn() -> None:
    data = open_few_labels("digits")
    flat, labels = load_digits(return_X_y=True)

    assert data.test is not None
    assert (data.labels, data.validation_images, len(data.test.labels)) == (1000, 397, 400)
    counts = np.bincount(data.train.labels, minlength=10) + np.bincount(data.test.labels, minlength=10)
    assert counts.tolist() == np.bincount(labels).tolist()
    # 4 x 4 pixels each: their mean is the digit's own pixel, but for rounding and the neighbours' share.
    shrunk = data.train.images[:, 0].reshape(-1, 8, 4, 8, 4).mean((2, 4)).reshape(-1, 64) * 16 / 255
    nearest = ((shrunk[:100, None] - flat[None]) ** 2).sum(2).argmin(1)
    assert np.array_equal(np.asarray(labels)[nearest], data.train.labels[:100])
    for number in (0, 1):
        train, validation = data.draw(number)
        assert np.bincount(train.labels).tolist() == [100] * 10
        together = np.concatenate([train.images, validation.images]).reshape(1397, -1)
        assert sorted(map(bytes, together)) == sorted(map(bytes, data.train.images.reshape(1397, -1)))


def test_the_complete_svhn_gives_the_papers_numbers() -> None:
    splits = splits_like_svhn()

    data = few_labels(splits, seed=3)

    assert data.test is not None
    assert (data.dataset, data.protocol, data.deviations) == ("svhn", "paper", ())
    assert (data.labels, data.validation_images, len(data.pool), len(data.test.labels)) == (
        1000,
        10_000,
        63_257,
        26_032,
    )
    first, second = data.draw(0), data.draw(1)
    assert (first.validation.labels == second.validation.labels).all()
    assert (first.train.labels != second.train.labels).any()
    assert (few_labels(splits, seed=4).draw(0).validation.labels != first.validation.labels).any()


def test_wrong_numbers_and_missing_splits_are_refused() -> None:
    train, test = splits_like_svhn().values()
    rare = train.labels.copy()
    rare[np.flatnonzero(rare == 7)[90:]] = 8
    unlabelled = test.labels.copy()
    unlabelled[5] = -1

    for splits, message in (
        ({"train": train}, r"no test split, only train: add test_32x32\.mat"),
        ({"test": test}, "no train split, only test"),
        (
            {"train": train, "test": test.at(np.arange(26_031))},
            "the test split has 26,031 images and SVHN's has 26,032",
        ),
        (
            {"train": LabelledImages(train.images, rare), "test": test},
            r"class 7 has \d\d images to draw 100 labels from",
        ),
        ({"train": train, "test": LabelledImages(test.images, unlabelled)}, "1 images without a label"),
    ):
        with pytest.raises(InputError, match=message):
            few_labels(splits)


def test_files_that_are_not_svhns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_few_labels(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"has no manifest\.json and no tar"):
        open_few_labels(str(tmp_path))

    (tmp_path / "train_32x32.mat").write_bytes(b"no matrix")
    with pytest.raises(InputError, match=r"is not a \.mat file of SVHN's"):
        open_few_labels(str(tmp_path))

    labels = np.arange(300) % 10
    for n, wrong, message in (
        (299, labels, "holds 299 images and 300 labels"),
        (300, labels + 5, "has labels such as"),
        (20, labels[:20], "too few to draw labels from"),
    ):
        write_mat(tmp_path, "train", np.zeros((n, 32, 32, 3), np.uint8), wrong)
        with pytest.raises(InputError, match=message):
            open_few_labels(str(tmp_path), protocol="small")


def test_shards_and_files_of_the_same_digits_are_the_same(ray_cluster: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    source = tmp_path / "svhn"
    for split, n in (("train", 200), ("test", 60)):
        write_mat(source, split, random.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % 10)
    assert load_job("prepare_svhn")(["--source", str(source), "--out", str(tmp_path / "shards")]) == 0

    files, shards = (open_few_labels(str(tmp_path / name), protocol="small") for name in ("svhn", "shards"))

    assert files.hash == shards.hash
    assert files.per_class == shards.per_class >= 6
    assert "not comparable" in shards.deviations[0]
    for name, split in read_splits(str(tmp_path / "shards")).items():
        assert (split.images == read_splits(str(source))[name].images).all()


def test_real_digits_are_too_few_for_the_paper_and_enough_for_the_small_protocol(real_data: Path) -> None:
    with pytest.raises(InputError, match="the train split has 946 images and SVHN's has 73,257"):
        open_few_labels(str(real_data / "svhn"))

    data = open_few_labels(str(real_data / "svhn"), protocol="small")

    assert data.test is None
    assert data.validation_images == 189
    assert np.bincount(data.draw(0).train.labels).tolist() == [data.per_class] * 10
