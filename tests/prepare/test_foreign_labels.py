"""Labels and official files as other people keep them: no image gets the class or split of another one in silence."""

import gzip
import io
import logging
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_keys, read_labels
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.prepare.sources.existing_shards import ShardSource
from dcgan_dist.prepare.sources.imagenet import ImageNetSource, imagenet_source
from dcgan_dist.prepare.sources.lsun import lsun_source
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.shards import pixels_of
from tests.helpers.tars import tar_of


def encoded(number: int = 0, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(number, 24)).save(buffer, kind)
    return buffer.getvalue()


def write(folder: Path, *names: str) -> str:
    """Images below a folder, by name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(number))
    return str(folder)


def test_tiny_imagenets_folder_of_images_is_no_class(tmp_path: Path) -> None:
    for name in ("n01", "n02"):
        (tmp_path / "train" / name / "images").mkdir(parents=True)
        (tmp_path / "train" / name / "images" / f"{name}_0.png").write_bytes(encoded())

    assert ImageNetSource(paths=(str(tmp_path),), image_size=16).class_names() == ("n01", "n02")


def test_a_label_counts_wherever_it_stands_beside_its_image(tmp_path: Path) -> None:
    members = [("a.cls", b"2"), ("a.png", encoded()), ("b.png", encoded(1)), ("b.cls", b"0")]
    (tmp_path / "t.tar").write_bytes(tar_of(members))

    manifest = load_manifest(str(tmp_path / "t.tar"))

    assert manifest.classes == 3
    assert read_labels(manifest).tolist() == [2, 0]


def test_two_data_sets_below_one_folder_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        (tmp_path / name).mkdir()
        head = struct.pack(">IIII", 2051, 1, 28, 28)
        (tmp_path / name / "train-images-idx3-ubyte").write_bytes(head + bytes(784))
        (tmp_path / name / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 1) + b"\0")

    with pytest.raises(InputError, match=r"several data sets: name one of .*FashionMNIST.*MNIST"):
        MnistSource(path=str(tmp_path)).items()


def classes_and_splits(*paths: str) -> list[tuple[str, str]]:
    source = ImageNetSource(paths=paths, image_size=16)
    items = source.items()
    return [(source.class_names()[item.label], item.split) for item in items if item.label is not None]


def test_a_folder_of_the_split_stands_above_all_classes_or_below_all(tmp_path: Path) -> None:
    above = write(tmp_path / "above", "Train/train/0.png", "Validation/train/1.png", "TEST/car/2.png")
    below = write(tmp_path / "below", "cat/test/0.png", "cat/train/1.png")

    assert classes_and_splits(above) == [("car", "test"), ("train", "train"), ("train", "val")]
    assert classes_and_splits(below) == [("cat", "test"), ("cat", "train")]


def test_validation_images_without_folders_do_not_become_a_class(tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(tar_of([("n01.tar", tar_of([("n01_1.png", encoded())]))]))
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(tar_of([("ILSVRC2012_val_1.png", encoded(1))]))
    tars = [str(tmp_path / f"ILSVRC2012_img_{split}.tar") for split in ("train", "val")]
    tiny = write(tmp_path / "data", "tiny/train/n01/images/n01_0.png", "tiny/val/images/val_0.png")
    valprep = write(tmp_path / "ILSVRC2012_img_val", "n01/0.png")

    for paths in (tars, [tiny]):
        with pytest.raises(
            InputError, match=r"img_val/ILSVRC2012_val_1|tiny/val/images/val_0.*lies in no class folder"
        ):
            classes_and_splits(*paths)
    assert classes_and_splits(tars[0], valprep) == [("n01", "train"), ("n01", "val")]


@pytest.mark.parametrize(
    ("batches", "fault"),
    [
        ({"a/train_1": (8, [1]), "b/train_1": (8, [1])}, "several data sets: name one of .*a/train_1.*b/train_1"),
        ({"train_1": (8, [1]), "train_2": (16, [1])}, r"images of \[8, 16\] pixels"),
        ({"train_1": (8, [0, 1000])}, "from 0 to 1000"),
        ({"train_1": (8, [1]), "cat/0.png": None}, r"and images \(.*cat/0.png\)"),
    ],
)
def test_batches_of_several_data_sets_are_refused_by_name(tmp_path: Path, batches: dict[str, Any], fault: str) -> None:
    for name, content in batches.items():
        if content is None:
            write(tmp_path, name)
            continue
        side, labels = content
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.savez(tmp_path / name, data=np.zeros((len(labels), 3 * side**2), np.uint8), labels=labels)

    with pytest.raises(InputError, match=fault):
        imagenet_source((str(tmp_path),), 8).items()


def idx(
    folder: Path, *, labels: bytes | None, sep: str = "-", name: str = "{}", pack: Callable[[bytes], bytes] = bytes
) -> None:
    """Ten black digits as idx files; `name` makes the file's name of the official one."""
    folder.mkdir(parents=True, exist_ok=True)
    images = struct.pack(">IIII", 2051, 10, 28, 28) + bytes(7840)
    (folder / name.format(f"train-images{sep}idx3-ubyte")).write_bytes(pack(images))
    if labels is not None:
        (folder / name.format(f"train-labels{sep}idx1-ubyte")).write_bytes(pack(struct.pack(">II", 2049, 10) + labels))


def test_digits_are_read_however_their_files_were_unpacked(tmp_path: Path) -> None:
    idx(tmp_path / "twice", labels=bytes(10), sep=".")
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):  # Kaggle's archive holds everything once more
        idx(tmp_path / "twice" / name, labels=bytes(10))
    idx(tmp_path / "unpacked", labels=bytes(10), name="{}.gz")
    idx(tmp_path / "packed", labels=bytes(10), pack=gzip.compress)

    for name in ("twice", "unpacked", "packed"):
        assert len(MnistSource(path=str(tmp_path / name), val=0).items()) == 10


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (bytes(range(5, 15)), r"has the label \[10\], mnist has 10 classes"),
        (None, "has images of the train split alone"),
    ],
)
def test_labels_that_are_not_mnists_are_refused(tmp_path: Path, labels: bytes | None, fault: str) -> None:
    idx(tmp_path, labels=labels)

    with pytest.raises(InputError, match=fault):
        MnistSource(path=str(tmp_path), val=0).items()


def test_every_version_of_cifar10_is_read_or_told_what_to_fetch(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8), [3, 0, 9]
    for name in ("python", "binary", "matlab"):
        (tmp_path / name).mkdir()
    (tmp_path / "python" / "data_batch_1").write_bytes(pickle.dumps({"data": images, "labels": labels}, protocol=2))
    rows = [bytes([label]) + row.tobytes() for label, row in zip(labels, images, strict=True)]
    (tmp_path / "binary" / "data_batch_1.bin").write_bytes(b"".join(rows))
    savemat(tmp_path / "matlab" / "data_batch_1.mat", {"data": images, "labels": np.array([labels])})

    for name in ("python", "binary"):
        source = Cifar10Source(path=str(tmp_path / name))
        assert [item.label for item in source.items()] == labels
        assert np.array_equal(source.splits[0].images, images.reshape(3, 3, 32, 32).transpose(0, 2, 3, 1))
    with pytest.raises(InputError, match="MATLAB version: fetch the python or the binary version"):
        Cifar10Source(path=str(tmp_path / "matlab")).items()
    with pytest.raises(InputError, match=r"several data sets: name one of .*binary.*matlab.*python"):
        Cifar10Source(path=str(tmp_path)).items()


def test_a_jpeg_of_another_size_than_cifar10s_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of([("train/1_cat.jpg", encoded(kind="JPEG"))]))

    with pytest.raises(InputError, match=r"train/1_cat\.jpg has another size than 32 x 32"):
        Cifar10Source(path=str(tmp_path)).items()


def test_two_images_of_one_number_are_refused_and_not_one_of_them_taken(tmp_path: Path) -> None:
    image = io.BytesIO()
    Image.new("RGB", (32, 32)).save(image, "JPEG")
    for name in ("train/1_cat.jpg", "train/01_dog.jpg"):
        (tmp_path / f"{name[-5]}.tar").write_bytes(tar_of([(name, image.getvalue())]))

    with pytest.raises(InputError, match="is the second image of this number"):
        Cifar10Source(path=str(tmp_path)).items()


def test_batches_of_any_file_name_have_keys_that_every_reader_takes(tmp_path: Path) -> None:
    for name in ("..x", "train\n1"):
        np.savez(tmp_path / f"{name}.npz", data=np.zeros((1, 192), np.uint8), labels=[1])

    keys = [item.key for item in imagenet_source((str(tmp_path),), 8).items()]

    assert keys == ["%2E%2Ex/0000000", "train%0A1/0000000"]


def test_svhns_files_are_there_once_and_those_asked_for_are_there(tmp_path: Path) -> None:
    content = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [10]], np.uint8)}
    for name in ("a/train_32x32.mat", "b/train_32x32.mat"):
        (tmp_path / name).parent.mkdir()
        savemat(tmp_path / name, content)

    with pytest.raises(InputError, match=r"train_32x32\.mat several times: name one of .*a/train.*b/train"):
        SvhnSource(path=str(tmp_path)).items()
    with pytest.raises(InputError, match=r"has no extra_32x32\.mat"):
        SvhnSource(path=str(tmp_path / "a"), extra=True).items()


def test_a_mat_file_of_version_7_3_is_told_what_to_do_with(tmp_path: Path) -> None:
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    (tmp_path / "train_32x32.mat").write_bytes(head.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(999))

    with pytest.raises(InputError, match=r"version 7\.3, which is not read: load it in MATLAB, and save it with -v7"):
        SvhnSource(path=str(tmp_path)).items()


def make_lmdb(folder: Path) -> Path:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 20) as opened, opened.begin(write=True) as transaction:
        for number in range(3):
            transaction.put(b"%d" % number, encoded(number, "WEBP"))
    return folder / "data.mdb"


def test_lsuns_database_is_found_by_any_of_its_names_and_never_guessed(tmp_path: Path) -> None:
    file = make_lmdb(tmp_path / "a" / "bedroom_val_lmdb")

    for path in (file, file.parent, tmp_path / "a"):
        source = lsun_source((str(path),), 24)
        assert [len(list(source.read(item))) for item in source.items()] == [1, 1, 1]
    make_lmdb(tmp_path / "a" / "kitchen_val_lmdb")
    with pytest.raises(InputError, match=r"name one of .*bedroom_val_lmdb, .*kitchen_val_lmdb"):
        lsun_source((str(tmp_path / "a"),), 24)


def test_a_cut_database_is_refused_before_the_process_runs_past_its_end(tmp_path: Path) -> None:
    file = make_lmdb(tmp_path / "a")
    file.write_bytes(file.read_bytes()[:9000])

    with pytest.raises(InputError, match="is cut"):
        lsun_source((str(tmp_path / "a"),), 24).items()


def test_labels_of_a_tar_without_class_names_stay_labels_when_it_is_thinned_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    members = [(f"{key}.{kind}", data) for key in "ab" for kind, data in (("png", encoded()), ("cls", b"4"))]
    (tmp_path / "in" / "t.tar").write_bytes(tar_of(members))
    manifest, keys = load_manifest(str(tmp_path / "in")), np.array([b"b"])
    source = ShardSource(
        dataset="x", image_size=0, manifests=(manifest,), positions=(np.array([1]),), keys=(keys,), origin={}
    )

    thinned = prepare(source, ShardOptions(out=str(tmp_path / "out"), cpus=1)).manifest

    assert thinned.classes == manifest.classes == 5
    assert read_labels(thinned).tolist() == [4]


def test_a_second_label_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded()), ("a.cls", b"1"), ("a.cls", b"2")]))

    with pytest.raises(InputError, match=r"a\.cls at byte \d+: duplicate label: a has one already"):
        load_manifest(str(tmp_path))


@pytest.mark.parametrize("label", [b"1" + bytes(b"0" * 18), b"9999999999", b"cat", b"-1", b""])
def test_a_label_that_is_no_class_number_is_refused_by_name(tmp_path: Path, label: bytes) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded()), ("a.cls", label)]))

    with pytest.raises(InputError, match=r"a\.cls at byte \d+: the label is not a decimal number from 0 to"):
        load_manifest(str(tmp_path))


def test_a_single_missing_label_and_what_is_left_out_of_a_tar_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = [("a.png", encoded()), ("a.cls", b"1"), ("b.png", encoded(1)), ("b.json", b"{}"), ("c.heic", b"x")]
    members += [("._a.png", b"resource fork"), ("d", b"x")]
    (tmp_path / "t.tar").write_bytes(tar_of(members))

    with caplog.at_level(logging.WARNING):
        manifest = load_manifest(str(tmp_path))

    assert read_keys(manifest) == ["a", "b"]
    assert "1 of 2 images have no label" in caplog.text
    assert "1 hidden, 1 with .heic, 1 with no suffix; the first is 'c.heic'" in caplog.text


def test_labels_of_images_with_dotted_names_are_theirs(tmp_path: Path) -> None:
    members = [(f"{key}.{name}", content) for key, content in (("a", b"2"), ("b", b"0")) for name, content in (
        ("large.png", encoded(int(content))), ("large.cls", content), ("mask.cls", b"7")
    )]  # fmt: skip
    (tmp_path / "t.tar").write_bytes(tar_of([*members, ("c.large.png", encoded(3)), ("c.cls", b"1")]))

    manifest = load_manifest(str(tmp_path / "t.tar"))

    assert dict(zip(read_keys(manifest), read_labels(manifest).tolist(), strict=True)) == {"a": 2, "b": 0, "c": 1}


@pytest.mark.parametrize("name", ["chaise\u00a0longue", "caf\udce9"])
def test_a_class_whose_name_cannot_be_stored_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    write(tmp_path / "in", f"{name}/0.png", "chair/1.png")
    source = ImageNetSource(paths=(str(tmp_path / "in"),), image_size=16)

    with pytest.raises(InputError, match=r"cannot be stored .*: rename it"):
        prepare(source, ShardOptions(out=str(tmp_path / "out"), cpus=1))

    assert not (tmp_path / "out").exists()
