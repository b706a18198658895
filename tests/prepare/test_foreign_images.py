"""Pixels as other people write them: each has its value, lies upright, and is neither blackened nor turned round in silence."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.data.shards.images import ImageFault, decode, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.prepare.preparations import PrepareFaces, PrepareFolder
from dcgan_dist.prepare.sources.existing_shards import ShardSource
from dcgan_dist.prepare.sources.faces import Face, FacesSource
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.shards import pixels_of
from tests.helpers.tars import tar_of

GREY = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_tiff(values: np.ndarray, *, white_is_zero: bool) -> bytes:
    """A grey TIFF of 16 bits a pixel, field by field."""
    height, width = values.shape
    fields = [(256, width), (257, height), (258, 16), (259, 1), (262, int(not white_is_zero)), (273, 122)]
    fields += [(277, 1), (278, height), (279, 2 * values.size)]
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields))
    return head + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in fields) + bytes(4) + values.tobytes()


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


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_a_tiff_of_sixteen_bits_may_count_from_white(white_is_zero: bool) -> None:
    values = GREY.astype("<u2") * 257

    grey = to_array(open_image(grey_tiff(values, white_is_zero=white_is_zero)), 1)[..., 0]

    assert np.array_equal(grey, 255 - GREY if white_is_zero else GREY)


@pytest.mark.parametrize("most", [1023, 4095, 65535])
def test_a_pgm_says_its_white(most: int) -> None:
    values = np.rint(GREY / 255 * most).astype(">u2")

    grey = to_array(open_image(b"P5 8 8 %d\n" % most + values.tobytes()), 1)[..., 0]

    assert np.abs(grey.astype(int) - GREY).max() <= 1


def test_twelve_bits_that_were_scaled_to_sixteen_as_the_standard_says_are_not_scaled_again() -> None:
    values = np.linspace(0, 4095, 64).reshape(8, 8).astype(int) * 16

    assert np.array_equal(to_array(open_image(grey_png(values, b"\x0c")), 1)[..., 0], values >> 8)


def test_colours_of_sixteen_bits_that_may_hold_twelve_are_told(tmp_path: Path) -> None:
    values = np.repeat(np.linspace(0, 4095, 64).reshape(8, 8, 1), 3, 2).astype(">u2")
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))),
        (b"IEND", b""),
    ]
    png = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    source = FolderSource(paths=(str(tmp_path),), image_size=8)

    assert [getattr(sample, "remarks", None) for item in source.items() for sample in source.read(item)] == [("dark",)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_shards_of_others_are_read_upright_too(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.repeat(np.repeat(pixels_of(0, 4)[:3], 8, 0), 8, 1))
    lying = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x),
    }[orientation]
    exact = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}

    for channels, mode in ((3, "RGB"), (1, "L")):
        upright = decode(saved(image, kind, exif=exif, **exact), channels)
        expected = lying(np.asarray(image.convert(mode)).reshape(24, 32, channels))
        assert upright.shape == expected.shape
        assert np.abs(upright.astype(int) - expected).max() <= 6


def test_pages_after_the_first_are_told_in_the_summary(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pages = [Image.fromarray(pixels_of(number, 8)) for number in range(3)]
    for kind, name in (
        ("TIFF", "a.tif"),
        ("GIF", "b.gif"),
        ("WEBP", "c.webp"),
        ("MPO", "phone.jpg"),
        ("PNG", "one.png"),
    ):
        more = {"save_all": True, "append_images": pages[1:]} if kind != "PNG" else {}
        (tmp_path / "in" / name).write_bytes(saved(pages[0], kind, **more))
    options = PrepareFolder(source=(str(tmp_path / "in"),), out=str(tmp_path / "out"), image_size=8, cpus=1)

    prepared = prepare(FolderSource(paths=options.source, image_size=8), options)

    assert prepared.to_json()["frames"] == 3
    assert "3 images are the first of several pages" in str(prepared)
    again = prepare(FolderSource(paths=options.source, image_size=8), options)
    assert again.to_json()["frames"] == 3, "the summary of what is there already counts the same"


def test_a_damaged_second_frame_leaves_the_first_as_it_is() -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    gif = bytearray(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    gif[gif.rindex(b"\x21\xf9")] = 0x2C  # the second frame begins with its data

    assert np.array_equal(to_array(open_image(bytes(gif)), 1)[..., 0], GREY)
    assert open_image(bytes(gif)).info["remarks"] == ("frames",)


@pytest.mark.parametrize("place", ["xmp", "exif after a fill byte"])
def test_a_jpeg_lies_the_same_way_in_a_shard_as_in_a_folder(place: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(pixels_of(0, 24)[:12])
    jpeg = saved(image, "JPEG") if place == "xmp" else saved(image, "JPEG", exif=exif)
    text = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    more = b"\xff\xe1" + struct.pack(">H", len(text) + 2) + text if place == "xmp" else b"\xff"
    jpeg = jpeg[:2] + more + jpeg[2:]

    assert decode(jpeg, 3).shape == (24, 12, 3)
    assert np.abs(decode(jpeg, 3).astype(int) - to_array(open_image(jpeg), 3)).max() <= 6


def test_the_transparent_grey_of_sixteen_bits_lies_on_white_too() -> None:
    data = saved(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG", transparency=0)

    grey = to_array(open_image(data), 1)[..., 0]

    assert grey[0, 0] == 255
    assert np.array_equal(grey.ravel()[1:], GREY.ravel()[1:])


def test_faces_tell_the_same_of_their_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.fromarray(pixels_of(number, 64)) for number in range(2)]
    (tmp_path / "a.tif").write_bytes(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    monkeypatch.setattr("dcgan_dist.prepare.sources.faces.find_faces", lambda *_: [Face(8, 8, 32, 1.0)])
    options = PrepareFaces(source=(str(tmp_path),), out=str(tmp_path.with_suffix(".out")), min_face=16)
    source = FacesSource(paths=options.source, image_size=16, options=options)

    assert [getattr(face, "remarks", None) for item in source.items() for face in source.read(item)] == [("frames",)]


@pytest.mark.parametrize("data", [b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_named_in_words_that_stay_and_no_other_program_is_asked(data: bytes) -> None:
    with pytest.raises(ImageFault, match=r"^undecodable: it is no image of a known format$"):
        open_image(data)


def test_shards_are_thinned_out_whatever_the_format_of_their_images(tmp_path: Path) -> None:
    pages = [Image.fromarray(pixels_of(number, 8)) for number in range(2)]
    phone = saved(pages[0], "MPO", save_all=True, append_images=pages[1:])
    members = [("a.jpg", phone), ("b.avif", saved(pages[0], "AVIF")), ("c.jp2", saved(pages[0], "JPEG2000"))]
    (tmp_path / "t.tar").write_bytes(tar_of(members))
    manifest, keys = load_manifest(str(tmp_path)), np.array([b"a", b"b", b"c"])
    source = ShardSource(
        dataset="x", image_size=8, manifests=(manifest,), positions=(np.arange(3),), keys=(keys,), origin={}
    )

    copies = [sample for item in source.items() for sample in source.read(item)]

    assert [copy.encoded[1] for copy in copies if isinstance(copy, Sample) and copy.encoded] == [
        data for _, data in members
    ]


def test_a_line_of_pixels_holds_no_face_and_does_not_end_the_job(tmp_path: Path) -> None:
    Image.new("RGB", (60_000, 1)).save(tmp_path / "line.png")
    options = PrepareFaces(source=(str(tmp_path),), out="elsewhere")
    source = FacesSource(paths=options.source, image_size=16, options=options)

    assert [getattr(read, "reason", "") for item in source.items() for read in source.read(item)] == ["no face"]
