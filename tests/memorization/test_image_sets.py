"""Sets of images in every form that people have them, read alike."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.cluster.tasks import TASK_TIME
from dcgan_dist.data.shards.images import encode_jpeg
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.tar_members import walk_tar
from dcgan_dist.errors import InputError
from dcgan_dist.memorization import image_sets
from dcgan_dist.memorization.image_sets import RealImages, Unreadable, read_image_set, read_opened
from dcgan_dist.memorization.image_sources import open_sources
from dcgan_dist.similarity.thumbnails import thumbnails
from tests.helpers.jobs import load_job
from tests.helpers.search import write_data
from tests.helpers.shards import damage_sample
from tests.helpers.tars import tar_of

Pixels = NDArray[np.uint8]


def smooth(n: int, side: int = 32, seed: int = 0) -> Pixels:
    """Random images without fine detail: (n, 3, side, side)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    if not n:
        return np.empty((0, 3, side, side), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    ).transpose(0, 3, 1, 2)


def save(images: Pixels, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05}.png")
    return folder


def prepare(source: Path, out: Path, *flags: str) -> None:
    load_job("prepare_folder")(["--source", str(source), "--out", str(out), "--image-size", "32", *flags])


def test_files_arrays_and_shards_of_the_same_images_are_the_same_set(tmp_path: Path) -> None:
    images = smooth(12)
    folder = save(images, tmp_path / "files")
    np.save(tmp_path / "one.npy", images)
    np.savez(tmp_path / "two.npz", images=images.transpose(0, 2, 3, 1), labels=np.arange(12))
    prepare(folder, tmp_path / "shards", "--layout", "blocks")

    sets = [read_image_set([str(tmp_path / name)], "samples") for name in ("files", "one.npy", "two.npz", "shards")]

    assert all(np.array_equal(np.sort(image_set.images[:], 0), np.sort(images, 0)) for image_set in sets)
    assert len({image_set.sha256 for image_set in sets[:3]}) == 1
    assert [bool(image_set.manifest) for image_set in sets] == [False, False, False, True]
    assert {image_set.side for image_set in sets} == {32}


def test_data_with_splits_gives_its_training_images_or_the_others(tmp_path: Path) -> None:
    prepare(save(smooth(40), tmp_path / "files"), tmp_path / "shards", "--val-fraction", "0.3")

    train, held_out = (read_image_set([str(tmp_path / "shards")], role) for role in ("train", "held_out"))

    assert len(train) + len(held_out) == 40
    assert 0 < len(held_out) < len(train)
    assert train.manifest != held_out.manifest


def test_damaged_samples_of_shards_are_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = smooth(200)
    prepare(save(images, tmp_path / "files"), tmp_path / "shards")
    (tar,) = (tmp_path / "shards").glob("*.tar")
    content = bytearray(tar.read_bytes())
    members = [member for member in walk_tar(tar) if member.name.endswith((".jpg", ".png"))]
    content[members[0].offset + members[0].size // 2] ^= 255
    tar.write_bytes(content)

    image_set = read_image_set([str(tmp_path / "shards")], "samples")

    assert (len(image_set), len(image_set.unreadable), image_set.given) == (199, 1, 200)
    ((key, fault),) = image_set.unreadable
    assert tar.name in key
    assert f"1 images for samples cannot be read and are left out: {key}: {fault}" in caplog.text
    assert len({image.tobytes() for image in image_set.images[:]}) == 199  # no neighbour stands in
    for member in members[:10]:
        content[member.offset + member.size // 2] ^= 85
    tar.write_bytes(content)
    with pytest.raises(InputError, match="more than 1% of the 200 images"):
        read_image_set([str(tmp_path / "shards")], "samples")


def test_images_of_shards_that_tasks_read_are_the_same_set(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sets, "PER_TASK", 37)
    monkeypatch.setattr(image_sets, "TASKS_AHEAD", 3)
    prepare(save(smooth(150), tmp_path / "files"), tmp_path / "shards", "--shard-samples", "60")
    tar = sorted((tmp_path / "shards").glob("*.tar"))[1]
    damage_sample(load_manifest(str(tmp_path / "shards")), 70)
    tasks = TASK_TIME.number

    alone, by_tasks = (
        read_opened(open_sources(str(tmp_path / "shards"), "samples"), "samples", side=24, cpus=cpus) for cpus in (1, 2)
    )

    assert TASK_TIME.number - tasks == 5
    assert [(len(one), one.side, one.sha256) for one in (alone, by_tasks)] == [(149, 24, alone.sha256)] * 2
    assert np.array_equal(alone.images[:], by_tasks.images[:])
    assert alone.unreadable == by_tasks.unreadable
    assert [tar.name in key for key, _ in by_tasks.unreadable] == [True]


def test_a_folder_with_cifar_tars_gives_train_or_test(tmp_path: Path) -> None:
    images = smooth(5)
    for split, in_split in (("train", images[:3]), ("test", images[3:])):
        files = ((f"{split}/{i:05}_cat.jpg", encode_jpeg(image.transpose(1, 2, 0))) for i, image in enumerate(in_split))
        (tmp_path / f"cifar10-{split}-00.tar").write_bytes(tar_of(files))

    train, held_out, samples = (read_image_set([str(tmp_path)], role) for role in ("train", "held_out", "samples"))

    assert [len(image_set) for image_set in (train, held_out, samples)] == [3, 2, 5]
    assert np.abs(train.images[:].astype(int) - images[:3]).mean() < 10
    assert np.abs(held_out.images[:].astype(int) - images[3:]).mean() < 10


def test_larger_images_are_shrunk_as_the_generators_are(tmp_path: Path) -> None:
    images = smooth(3, side=64)
    tall = np.concatenate([images, images[:, :, :16]], axis=2)  # the centre is not the middle of the square
    save(images, tmp_path / "square")
    save(tall, tmp_path / "tall")

    square = read_image_set([str(tmp_path / "square")], "samples")
    cut = read_image_set([str(tmp_path / "tall")], "train", side=64)

    assert square.side == 64
    assert np.array_equal(square.images[:], thumbnails(images))
    assert np.array_equal(cut.images[:], thumbnails(np.ascontiguousarray(tall[:, :, 8:72])))


def test_cutting_and_resizing_differ(tmp_path: Path) -> None:
    save(smooth(2, side=64), tmp_path / "files")

    resized, cut = (
        read_image_set([str(tmp_path / "files")], "train", side=32, crop=crop) for crop in ("resize", "centre")
    )

    assert np.array_equal(cut.images[:], smooth(2, side=64)[:, :, 16:48, 16:48])
    assert not np.array_equal(resized.images[:], cut.images[:])


def test_several_places_are_one_set_and_a_bad_file_among_many_is_counted(tmp_path: Path) -> None:
    save(smooth(100), tmp_path / "a")
    save(smooth(50, seed=1), tmp_path / "b")
    (tmp_path / "b" / "bad.png").write_bytes(b"no image")

    image_set = read_image_set([str(tmp_path / "a"), str(tmp_path / "b")], "train")

    assert len(image_set) == 150
    assert [key for key, _ in image_set.unreadable] == ["bad.png"]


def peak_bytes(call) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_photographs_that_are_cut_do_not_stay_in_memory(tmp_path: Path) -> None:
    folder = save(smooth(30, side=600), tmp_path / "files")

    peak = peak_bytes(lambda: read_image_set([str(folder)], "train", side=16, crop="centre"))

    assert peak < 10 * 600 * 600 * 3


def test_an_array_file_stays_on_disk_and_a_torn_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", np.uint8, (50_000, 3, 32, 32))  # a sparse file
    large[25_000] = 7
    del large

    peak = peak_bytes(lambda: read_opened(open_sources(str(path), "train"), "train", most=3))

    assert peak < 1 << 20
    with path.open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(InputError, match="no plain array file"):
        open_sources(str(path), "train")


def test_images_that_cannot_become_squares_are_left_out(tmp_path: Path) -> None:
    save(smooth(200), tmp_path / "files")
    Image.new("RGB", (60_000, 1)).save(tmp_path / "files" / "line.png")

    resized = read_image_set([str(tmp_path / "files")], "train", side=64)
    cut = read_image_set([str(tmp_path / "files")], "train", side=32, crop="centre")

    assert [len(image_set) for image_set in (resized, cut)] == [200, 200]
    assert "more than the limit" in resized.unreadable[0].fault
    assert cut.unreadable == (Unreadable("line.png", "60000 x 1 pixels, 32 x 32 are wanted"),)


def test_of_many_held_out_images_some_are_taken_from_all_over_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(image_sets, "MOST_HELD_OUT", 5)
    images = smooth(30)
    prepare(save(images, tmp_path / "files"), tmp_path / "shards", "--layout", "blocks")
    np.save(tmp_path / "rest.npy", images[20:])
    in_order = read_image_set([str(tmp_path / "shards")], "samples").images[:]

    for held_out, expected in (
        ([str(tmp_path / "shards")], in_order),
        ([str(tmp_path / "files")], images),
        ([images[:20], str(tmp_path / "rest.npy")], images),
    ):
        train, taken, fault = RealImages(smooth(9, seed=1), held_out).read(side=32, crop="resize")
        assert np.array_equal(taken.images[:], expected[[0, 7, 14, 21, 29]])
        assert (len(train), taken.given, fault) == (9, 30, "")
    assert "5 of 30 images for held_out are taken" in caplog.text


def test_training_images_are_not_held_out_and_are_known_before_they_are_read(tmp_path: Path) -> None:
    images = smooth(20)
    prepare(save(images, tmp_path / "files"), tmp_path / "shards")
    (tmp_path / "link").symlink_to(tmp_path / "shards")
    other = save(smooth(4, seed=1), tmp_path / "other")

    same = RealImages([str(tmp_path / "shards")], [str(tmp_path / "link")])
    partly = RealImages([str(tmp_path / "files")], [str(tmp_path / "files"), str(other)])
    copied = RealImages(images, images.copy())

    assert (same.held_out, partly.held_out, copied.held_out) == (0, 4, 20)
    for real, count, doubt in ((same, 0, "the same 20"), (partly, 4, ""), (copied, 0, "the same 20")):
        _, held_out, fault = real.read(side=32, crop="resize")
        assert len(held_out) == count
        assert doubt in fault
        assert bool(doubt) == bool(fault)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "no image"),
        (lambda path: [save(smooth(3), path), (path / "bad.png").write_bytes(b"")], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(make, message: str, tmp_path: Path) -> None:
    make(tmp_path / "place")

    with pytest.raises(InputError, match=message):
        read_image_set([str(tmp_path / "place")], "train")


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(InputError, match="no plain array file"):
        read_image_set([str(tmp_path / "evil.npy")], "samples")


def test_an_array_of_images_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="images have pixels"):
        read_image_set(np.zeros((9, 3, 0, 8), np.uint8), "samples", side=8)


def test_official_files_are_read_where_they_lie(tmp_path: Path) -> None:
    digits = read_image_set([str(write_data(tmp_path))], "train")

    assert digits.images.shape == (700, 3, 32, 32)
