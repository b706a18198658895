"""Every data set of the paper, converted for real by its job, and compared with an independent reading of the source."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torchvision.transforms.functional import center_crop, resize

from dcgan_dist.data.shards.inspection import inspect
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, read_keys, read_labels
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from jobs import (
    prepare_cifar10,
    prepare_faces,
    prepare_folder,
    prepare_imagenet,
    prepare_lsun,
    prepare_mnist,
    prepare_rooms,
    prepare_svhn,
)
from tests.conftest import REAL_DATA
from tests.helpers.photographs import bedrooms, drawn_rooms, imagenette, members
from tests.helpers.search import write_data
from tests.helpers.tars import tar_of


def pixels(manifest: Manifest, positions: list[int] | int) -> np.ndarray:
    """(n, s, s, c)."""
    return read_images(manifest, positions, image_size=manifest.image_size).permute(0, 2, 3, 1).numpy()


def prepare(job: ModuleType, source: Path | list[Path], out: Path, *flags: str) -> Manifest:
    """The sound shards that a job makes of one or several sources."""
    paths = map(str, source if isinstance(source, list) else [source])
    assert job.main(["--source", *paths, "--out", str(out), "--cpus", "1", *flags]) == 0
    manifest = load_manifest(str(out))
    assert inspect(manifest).damages == []
    return manifest


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / Path(name).name).write_bytes(data)
    return folder


def test_lsun_comes_out_of_a_real_lmdb(tmp_path: Path) -> None:
    photos = bedrooms(60)
    with lmdb.open(str(tmp_path / "bedroom_train_lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for number, data in enumerate(photos.values()):
            transaction.put(f"{number:040x}".encode(), data)
        transaction.put(b"f" * 40, b"not an image")

    manifest = prepare(prepare_lsun, tmp_path / "bedroom_train_lmdb", tmp_path / "out", "--shard-samples", "25")

    assert [shard.samples for shard in manifest.shards] == [25, 25, 10]
    assert read_keys(manifest) == [f"{number:040x}" for number in range(60)]
    for row, data in zip(pixels(manifest, [0, 31, 59]), [list(photos.values())[i] for i in (0, 31, 59)], strict=True):
        photo = torch.from_numpy(np.array(Image.open(io.BytesIO(data)))).permute(2, 0, 1)
        truth = center_crop(resize(photo, [64], antialias=True), [64, 64]).permute(1, 2, 0).numpy()
        assert np.abs(row.astype(int) - truth.astype(int)).mean() < 4  # JPEG at 95, another antialias
    rejected = json.loads((tmp_path / "out" / "rejected.json").read_text())
    assert [entry["key"] for entry in rejected] == ["f" * 40]


def test_exported_lsun_in_a_zip_gives_the_same_images_as_in_a_folder(tmp_path: Path) -> None:
    photos = bedrooms(20)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as packed:
        for name, data in photos.items():
            packed.writestr(name, data)
        packed.extractall(tmp_path / "export")

    by_zip, by_folder = (
        prepare(prepare_lsun, tmp_path / form, tmp_path / f"{form}-out") for form in ("export.zip", "export")
    )

    assert by_zip.shards == by_folder.shards


def test_faces_are_found_in_photographs_of_any_format(real_data: Path, tmp_path: Path) -> None:
    tars = [real_data / "faces" / f"{name}.tar" for name in ("photos_uncropped_long512", "unaligned_mixed_formats")]

    manifest = prepare(prepare_faces, tars, tmp_path, "--min-face", "48")

    result = json.loads((tmp_path / "result.json").read_text())
    assert (manifest.image_size, manifest.preprocessing["margin"]) == (128, 0.25)
    assert sum(result["items_by_samples"].values()) == 86 + 363
    assert manifest.samples == sum(int(faces) * n for faces, n in result["items_by_samples"].items()) > 150
    details = json.loads(
        next(data for name, data in members(tmp_path / manifest.shards[0].name).items() if "json" in name)
    )
    left, top, right, bottom = details["box"]
    assert right - left == pytest.approx(bottom - top, abs=0.2)
    assert (tmp_path / "contact_sheet.png").exists()


def test_most_portraits_have_exactly_one_face(real_data: Path, tmp_path: Path) -> None:
    portraits = members(real_data / "faces" / "celeba_first10k_89x109-000.tar", 150)

    prepare(prepare_faces, write_files(tmp_path / "portraits", portraits), tmp_path / "out", "--min-face", "24")

    portraits_by_faces = json.loads((tmp_path / "out" / "result.json").read_text())["items_by_samples"]
    assert portraits_by_faces.get("1", 0) > 0.8 * 150


def test_imagenet_class_folders_keep_splits_and_labels(tmp_path: Path) -> None:
    tar = imagenette(tmp_path / "drawn")
    names = sorted(members(tar))

    manifest = prepare(prepare_imagenet, tar, tmp_path / "out")

    wnids = sorted({name.split("/")[1] for name in names})
    assert (manifest.image_size, manifest.class_names, manifest.splits) == (32, tuple(wnids), ("train", "val"))
    for split in manifest.splits:
        expected = [wnids.index(name.split("/")[1]) for name in names if name.startswith(split)]
        assert read_labels(manifest.split(split)).tolist() == expected


def test_the_official_imagenet_tar_of_tars_is_read_without_unpacking(tmp_path: Path) -> None:
    photos = members(imagenette(tmp_path / "drawn"), 200)
    by_class: dict[str, list[tuple[str, bytes]]] = {}
    for name, data in photos.items():
        by_class.setdefault(name.split("/")[1], []).append((Path(name).name, data))
    outer = tar_of((f"{wnid}.tar", tar_of(files)) for wnid, files in by_class.items())
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(outer)

    manifest = prepare(prepare_imagenet, tmp_path / "ILSVRC2012_img_train.tar", tmp_path / "out")

    assert manifest.samples == 200
    assert manifest.class_names == tuple(sorted(by_class))
    assert json.loads((tmp_path / "out" / "result.json").read_text())["rejected"] == 0


def test_downsampled_imagenet_batches_are_exact(tmp_path: Path) -> None:
    path = REAL_DATA / "imagenet" / "imagenet32_box.npz"
    if not path.exists():
        path = tmp_path / "drawn.npz"
        rows = drawn_rooms(60, 32).transpose(0, 3, 1, 2).reshape(60, -1)
        np.savez(path, data=rows, labels=np.arange(60) % 7 + 1)

    manifest = prepare(prepare_imagenet, path, tmp_path / "out", "--layout", "blocks")

    with np.load(path) as batch:
        data, labels = batch["data"], batch["labels"]
    assert np.array_equal(pixels(manifest, manifest.samples), data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert read_labels(manifest).tolist() == labels.tolist()


def test_cifar10_batches_are_exact(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "cifar10" / "cifar-10-batches-py-first1017"
    with np.load(real_data / "cifar10" / "cifar10_labels.npz") as file:
        all_labels = {name: file[name] for name in file.files}

    manifest = prepare(prepare_cifar10, source, tmp_path)

    train, test = manifest.split("train"), manifest.split("test")
    assert (train.samples, test.samples, manifest.classes) == (5085, 1017, 10)
    truth = next(labels for labels in all_labels.values() if len(labels) == 50000)
    expected = np.concatenate([truth[first : first + 1017] for first in range(0, 50000, 10000)])
    assert read_labels(train).tolist() == expected.tolist()
    jpegs = list(members(real_data / "cifar10" / "cifar10-test-00.tar", 1017).items())
    for row, number in zip(pixels(test, [0, 500, 1016]), (0, 500, 1016), strict=True):
        name, data = jpegs[number]
        lossy = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        assert np.abs(row.astype(int) - lossy).mean() < 13, name


def test_cifar10_jpeg_tars_keep_number_and_class(real_data: Path, tmp_path: Path) -> None:
    tar = real_data / "cifar10" / "cifar10-test-00.tar"
    tars = write_files(tmp_path / "tars", {tar.name: tar.read_bytes()})

    manifest = prepare(prepare_cifar10, tars, tmp_path / "out", "--layout", "blocks")

    classes = [name[:-4].split("_")[1] for name in sorted(members(tar))]
    assert [manifest.class_names[label] for label in read_labels(manifest)] == classes
    assert manifest.split("test").samples == 5000


def test_a_batch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cposix\nsystem\n(S'touch /tmp/owned'\ntR.")

    with pytest.raises(InputError, match=r"wants to run posix\.system"):
        prepare(prepare_cifar10, tmp_path, tmp_path / "out")


def test_svhn_is_exact_and_its_ten_becomes_zero(tmp_path: Path) -> None:
    real = REAL_DATA / "svhn" / "train_32x32_first946.mat"
    source = real if real.exists() else write_data(tmp_path / "drawn") / "train_32x32.mat"

    manifest = prepare(prepare_svhn, source, tmp_path / "out")

    content = loadmat(source)
    assert np.array_equal(pixels(manifest, len(content["y"])), content["X"].transpose(3, 0, 1, 2))
    assert read_labels(manifest).tolist() == [0 if y == 10 else y for y in content["y"].ravel().tolist()]


def test_mnist_is_exact_and_split_as_the_authors_do(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "mnist"

    manifest = prepare(prepare_mnist, source, tmp_path, "--layout", "blocks")

    samples = {split: manifest.split(split).samples for split in manifest.splits}
    assert samples == {"train": 50000, "val": 10000, "test": 10000}
    with gzip.open(source / "t10k-images-idx3-ubyte.gz") as file:
        truth = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(source / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    assert np.array_equal(pixels(manifest.split("test"), 10000), truth)
    assert read_labels(manifest.split("val")).tolist() == labels[50000:].tolist()


def test_img2dataset_output_is_a_source(tmp_path: Path) -> None:
    photos = list(bedrooms(6).values())
    (tmp_path / "in").mkdir()
    for shard in (0, 1):
        files = (
            (f"{shard:05d}{number:04d}.{suffix}", content)
            for number, data in enumerate(photos[3 * shard : 3 * shard + 3])
            for suffix, content in (("jpg", data), ("json", b"{}"), ("txt", b"a bedroom"))
        )
        (tmp_path / "in" / f"{shard:05d}.tar").write_bytes(tar_of(files))
        (tmp_path / "in" / f"{shard:05d}_stats.json").write_text("{}")

    keys = read_keys(prepare(prepare_folder, tmp_path / "in", tmp_path / "out"))

    assert keys == [f"{shard:05d}/{shard:05d}{number:04d}" for shard in (0, 1) for number in range(3)]


def test_rooms_are_a_pure_function_and_tell_the_truth(tmp_path: Path) -> None:
    for name, size in (("a", "40"), ("b", "7")):
        prepare_rooms.main(["--n", "40", "--out", str(tmp_path / name), "--shard-samples", size, "--cpus", "1"])

    manifest, in_small_shards = load_manifest(str(tmp_path / "a")), load_manifest(str(tmp_path / "b"))
    assert np.array_equal(pixels(manifest, 40), pixels(in_small_shards, 40))
    shard = members(tmp_path / "a" / manifest.shards[0].name)
    truths = [json.loads(data) for name, data in shard.items() if name.endswith("json")]
    days = [(i, truth["window_box"]) for i, truth in enumerate(truths) if truth.get("hour") == "day"]
    assert len(days) > 10
    blue = []
    for number, (left, top, right, bottom) in days:
        image = pixels(manifest, [number])[0].astype(int)
        row, column = int((0.8 * top + 0.2 * bottom) * 64), int((0.7 * left + 0.3 * right) * 64)
        blue.append(image[row, column, 2] - image[row, column, 0])
    assert np.median(blue) > 20  # a window by day shows sky where the truth says it is


@pytest.mark.parametrize(
    ("job", "source", "flags", "message"),
    [
        (prepare_folder, "none", [], "does not exist"),
        (prepare_folder, "empty", [], "no image in"),
        (prepare_lsun, "empty", [], "no image in"),
        (prepare_cifar10, "empty", [], "neither data_batch"),
        (prepare_svhn, "empty", [], "no train_32x32"),
        (prepare_mnist, "empty", [], "no train-images"),
        (prepare_faces, "empty", ["--detector", "yunet", "--detector-model", "x.onnx"], "does not exist"),
    ],
)
def test_an_unusable_source_is_named_and_nothing_is_written(
    tmp_path: Path, job: ModuleType, source: str, flags: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match=message):
        prepare(job, tmp_path / source, tmp_path / "out", *flags)

    assert not (tmp_path / "out").exists()


def test_cifar10_takes_the_form_with_more_images(real_data: Path, tmp_path: Path) -> None:
    for name in ("cifar-10-batches-py-first1017/test_batch", "cifar10-test-00.tar"):
        (tmp_path / Path(name).name).write_bytes((real_data / "cifar10" / name).read_bytes())

    source = Cifar10Source(path=str(tmp_path))

    assert len(source.items()) == 5000
    assert source.describe()[1]["form"] == "jpeg"
