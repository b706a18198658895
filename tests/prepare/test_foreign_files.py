"""Archives, folders and images as other people make them: nothing is left out, mixed up or blackened in silence."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.data.shards.images import ImageFault, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_labels
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.plan import fingerprint, plan_shards
from dcgan_dist.prepare.preparations import PrepareFolder
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.prepare.sources.imagenet import ImageNetSource
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.write_shards import _claim, make_shard, prepare
from dcgan_dist.storage.stored_folder import StoredFolder
from tests.helpers.shards import pixels_of
from tests.helpers.tars import tar_of


def encoded(number: int = 0, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(number, 24)).save(buffer, kind)
    return buffer.getvalue()


def names(*sources: Path) -> list[str]:
    return [name for name, _ in find_images([str(source) for source in sources])]


def test_folders_behind_links_are_read_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    for folder in ("train/cat", "elsewhere/dog"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").write_bytes(encoded())
    (tmp_path / "train" / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (tmp_path / "train" / "dog" / "up").symlink_to(tmp_path / "train")

    assert names(tmp_path / "train")[:2] == ["cat/0.png", "dog/0.png"]


def test_hard_links_in_a_tar_are_images_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded())
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("a.png", "b.png"):
            tar.add(tmp_path / name, name)

    images = find_images([str(tmp_path / "t.tar")])

    assert [name for name, _ in images] == ["a.png", "b.png"]
    assert [place.read_bytes() for _, place in images] == [encoded()] * 2


@pytest.mark.parametrize("more", [tar_of([("b.png", encoded(1))]), b"\0" * 4096 + b"x"])
def test_more_behind_the_end_of_a_tar_is_refused_as_a_source_and_as_a_shard(tmp_path: Path, more: bytes) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded())]) + more)

    for read in (lambda: find_images([str(tmp_path / "t.tar")]), lambda: load_manifest(str(tmp_path / "t.tar"))):
        with pytest.raises(InputError, match="more after the end of the archive"):
            read()


def test_a_name_that_comes_twice_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded()), ("b.png", encoded()), ("a.png", encoded(1))]))

    with pytest.raises(InputError, match=r"a\.png comes twice"):
        find_images([str(tmp_path / "t.tar")])


def test_a_name_that_is_not_utf8_becomes_an_escaped_key(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(encoded())

    assert [item.key for item in FolderSource(paths=(str(tmp_path),), image_size=16).items()] == ["caf%E9"]


def test_files_that_are_no_images_by_their_names_are_counted_and_sidecars_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jfif", "a.json", "b.tar.gz", "c.tar.gz", "plain"):
        (tmp_path / name).write_bytes(encoded(kind="JPEG"))

    assert names(tmp_path) == ["a.jfif"]
    assert "left out: 2 with .gz, 1 with no suffix; the first is 'b.tar.gz'" in caplog.text


def test_a_damaged_zip_member_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            packed.writestr(f"{number}.ppm", encoded(number, "PPM"))
    with zipfile.ZipFile(path) as packed:
        damaged = packed.infolist()[1]
    content = bytearray(path.read_bytes())
    first, size = damaged.header_offset + 30 + len(damaged.filename), damaged.compress_size
    content[first : first + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    source = FolderSource(paths=(str(path),), image_size=16)

    results = [next(iter(source.read(item))) for item in source.items()]

    assert [type(result).__name__ for result in results] == ["Sample", "Rejected", "Sample"]


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


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_thirty_two_bits_a_pixel_are_refused_and_not_blackened(dtype: type) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8).astype(dtype)).save(buffer, "TIFF")

    with pytest.raises(ImageFault, match="32 bits a pixel"):
        open_image(buffer.getvalue())


def grey_png(values: np.ndarray, declared: bytes = b"") -> bytes:
    """A grey PNG of 16 bits a pixel, with an sBIT chunk where bits are declared."""
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(buffer, "PNG")
    chunk = struct.pack(">I", 1) + b"sBIT" + declared + struct.pack(">I", zlib.crc32(b"sBIT" + declared))
    return buffer.getvalue()[:33] + (chunk if declared else b"") + buffer.getvalue()[33:]


def test_sixteen_bits_that_declare_twelve_are_scaled_by_these() -> None:
    values = np.linspace(0, 4095, 64).reshape(8, 8).astype(int)

    assert np.array_equal(to_array(open_image(grey_png(values, b"\x0c")), 1)[..., 0], values >> 4)
    assert np.array_equal(to_array(open_image(grey_png(values * 16)), 1)[..., 0], values * 16 >> 8)


@pytest.mark.parametrize(("most", "dark"), [(4095, 2), (4096, 0)])
def test_sixteen_bits_that_may_hold_twelve_are_told_in_the_summary(tmp_path: Path, most: int, dark: int) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.png").write_bytes(grey_png(np.linspace(0, most, 64).reshape(8, 8)))

    options = PrepareFolder(source=(str(tmp_path / "in"),), out=str(tmp_path / "out"), image_size=8, cpus=1)
    prepared = prepare(FolderSource(paths=options.source, image_size=8), options)

    assert prepared.to_json()["dark"] == dark
    assert ("images of 12 bits have" in str(prepared)) == bool(dark)


def test_a_source_that_has_changed_is_said_and_where_preparation_is_unfinished_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"{number}.png").write_bytes(encoded(number))
    options = PrepareFolder(
        source=(str(tmp_path / "in"),), out=str(tmp_path / "out"), image_size=24, cpus=1, shard_samples=1
    )
    source = FolderSource(paths=options.source, image_size=24)
    tasks = plan_shards(source, options)
    stored = StoredFolder(options.out)
    _claim(options.out, stored, fingerprint(source, options, tasks), source.state())
    make_shard(source, tasks[0], options.layout, options.out)
    before = (tmp_path / "out" / tasks[0].name).read_bytes()
    (tmp_path / "in" / "0.png").write_bytes(encoded(7))

    prepare(source, options)

    assert "all are read again" in caplog.text
    assert (tmp_path / "out" / tasks[0].name).read_bytes() != before

    prepare(source, options)
    assert "have changed since: to read them again" not in caplog.text
    (tmp_path / "in" / "1.png").write_bytes(encoded(8))
    prepare(source, options)
    assert "have changed since: to read them again" in caplog.text


def test_an_orientation_counts_although_another_field_of_the_exif_is_broken() -> None:
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    tiff += struct.pack("<HHII", 0x011A, 10, 1, 38) + b"\0" * 4 + struct.pack("<ii", -1, 0)
    buffer = io.BytesIO()
    pixels = pixels_of(0, 24)[:12]
    Image.fromarray(pixels).save(buffer, "PNG", exif=b"Exif\0\0" + tiff)

    assert np.array_equal(to_array(open_image(buffer.getvalue()), 3), np.rot90(pixels, -1))


def test_an_extreme_aspect_ratio_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(ImageFault, match="more than the limit"):
        resize_and_crop(Image.new("L", (1_000_000, 1)), 128)
