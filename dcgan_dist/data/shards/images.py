"""Encoded images to uint8 arrays and back; resizing and cropping; the limits that keep a bomb out."""

import io
import warnings
from contextlib import suppress

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from dcgan_dist.untrusted import reason

MAX_PIXELS = 64 << 20
"""Images with more pixels than this are refused before they are decoded."""
MAX_ENCODED_BYTES = 256 << 20
"""Members larger than this are refused before they are read."""
SUFFIXES_BY_FORMAT = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "MPO": ("mpo",),
    "PNG": ("png", "apng"),
    "WEBP": ("webp",),
    "AVIF": ("avif",),
    "BMP": ("bmp",),
    "PPM": ("ppm", "pgm", "pbm", "pnm"),
    "TIFF": ("tif", "tiff"),
    "GIF": ("gif",),
    "JPEG2000": ("jp2", "j2k", "jpx", "jpf"),
}
"""What is read, whatever a file is called: Pillow knows more, among them PostScript, which it lets another program run."""
_FORMATS = [name for name in SUFFIXES_BY_FORMAT if name != "MPO"]  # which Pillow finds behind JPEG
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES_BY_FORMAT.values() for suffix in suffixes)
REMARKS = "remarks"
"""Key of the `info` of an image from open_image: what is to be told of it, a tuple of DARK and FRAMES."""
DARK = "dark"
"""An image of 16 bits a channel has no value above what 12 bits hold, and does not say that it has 12."""
FRAMES = "frames"
"""An image is the first of several in its file, such as the pages of a TIFF."""
MOST_OF_TWELVE_BITS = 4095
WHITE_IS_ZERO = 0
"""PhotometricInterpretation of a TIFF."""
_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_APP1 = b"\xff\xe1"
"""Begins the segment of a JPEG that holds EXIF or XMP, either of which may say that it lies on its side."""
_PLAIN_JPEG = {"Gray": 1, "YCbCr": 3, "RGB": 3}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation; 1 is upright."""


class ImageFault(ValueError):
    """An image that cannot be used; the message is the fault in a few words."""


def decode(data: bytes | memoryview, channels: int, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode one image to exactly this number of channels.

    Grey becomes colour by repetition, colour becomes grey by luma, transparency lies on white.

    Returns:
        (h, w, channels), 0 to 255.

    Raises:
        ImageFault: it is not an image, is damaged, or has more than `max_pixels`.
    """
    if bytes(data[:3]) == _JPEG_MAGIC:
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _check_pixels(int(width), int(height), max_pixels)
            if colours in _PLAIN_JPEG:
                pixels = simplejpeg.decode_jpeg(data, "RGB" if channels == 3 else "GRAY", strict=True)
                if _JPEG_APP1 in bytes(data):
                    with suppress(ImageFault):  # Pillow reads fewer headers than libjpeg
                        return _turned(pixels, _orientation(read_header(data, max_pixels)))
                return pixels
        except ValueError as error:
            raise ImageFault(str(error)) from error
    with open_image(data, max_pixels) as image:
        return to_array(image, channels)


def open_image(data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open and fully decode an image of any format and mode as L or RGB, turned upright by its EXIF orientation; its `info` has
    REMARKS.

    Raises:
        ImageFault: it is not an image, is damaged, or has more than `max_pixels`.
    """
    image = read_header(data, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bits, inverted = _declared_bits(image, data)
            sixteen = ";16" in str(getattr(image, "tile", ""))
            image.load()
            upright = _upright(image)
            if image.mode.startswith("I;16") or (
                image.format == "PPM" and image.mode == "I"
            ):  # which Pillow has scaled to 16
                decoded, dark = _scale_sixteen_bits(upright, bits, inverted)
            else:
                decoded = _to_grey_or_colour(upright)
                dark = sixteen and int(np.asarray(upright.convert("RGB")).max()) <= MOST_OF_TWELVE_BITS >> 8
            remarks = {DARK: dark, FRAMES: _holds_several(image)}
            decoded.info[REMARKS] = tuple(name for name, holds in remarks.items() if holds)
            return decoded
    except ImageFault:
        raise
    except (
        Exception
    ) as error:  # damaged images make decoders raise anything: struct.error, AttributeError, OverflowError
        raise ImageFault(f"undecodable: {reason(error)}") from error


def read_header(data: bytes | memoryview, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image of which the header alone is read: its format and size are known, its pixels are not decoded.

    Raises:
        ImageFault: it is not an image, or has more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images; our own limit is checked instead
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageFault("undecodable: it is no image of a known format") from error
    except Exception as error:  # decoders raise anything on damaged files
        raise ImageFault(f"undecodable: {reason(error)}") from error
    _check_pixels(*image.size, max_pixels)
    return image


def stored_size(data: bytes) -> tuple[int, int]:
    """Width and height of an image as it is stored, before its EXIF turns it; only the header is read.

    Raises:
        ImageFault: as `read_header` says.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)  # ten times as fast
    except ValueError:
        with read_header(data) as image:
            return image.size
    size = int(width), int(height)
    _check_pixels(*size, MAX_PIXELS)
    return size


def to_array(image: Image.Image, channels: int) -> NDArray[np.uint8]:
    """Pixels of an image from open_image: (h, w, channels) uint8."""
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(*pixels.shape[:2], channels)


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Bring the shorter side of an image from open_image to `size` with antialias, then cut the square centre.

    Source: common practice (the paper does not say how LSUN comes to 64x64); the filter is PIL's bicubic, whose support
    grows with the reduction and so averages over all pixels.

    Raises:
        ImageFault: one side is so much longer than the other that the resized image would pass the limit of pixels.
    """
    width, height = image.size
    scale = size / min(width, height)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    _check_pixels(wide, high, MAX_PIXELS)
    if (wide, high) != image.size:
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = (wide - size) // 2, (high - size) // 2
    return image.crop((left, top, left + size, top + size))


def _holds_several(image: Image.Image) -> bool:
    """Whether a file holds more images than the one that was decoded; the second picture of a phone (MPO) does not count."""
    try:
        return image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception:  # the second is damaged
        return True


def _orientation(image: Image.Image) -> int | None:
    """EXIF's orientation, or else XMP's, from 1; None where it says none or cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF makes Pillow raise anything
        return None


def _upright(image: Image.Image) -> Image.Image:
    """The image turned by its EXIF orientation; as it lies where its EXIF cannot be read.

    Pillow's own `exif_transpose` also writes the EXIF anew, and fails on fields that have nothing to do with it.
    """
    orientation = _orientation(image)
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _turned(pixels: NDArray[np.uint8], orientation: int | None) -> NDArray[np.uint8]:
    """(h, w, c) turned upright."""
    if orientation not in _UPRIGHT:
        return pixels
    channels = pixels.shape[2]
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    return to_array(image.transpose(_UPRIGHT[orientation]), channels)


def _declared_bits(image: Image.Image, data: bytes | memoryview) -> tuple[int, bool]:
    """How many bits of a grey image of 16 bits a pixel are used, by its PNG's sBIT or its TIFF's BitsPerSample, 16 where unsaid;
    and whether 0 is white, which Pillow turns round for 8 bits and not for 16.
    """
    inverted = False
    if image.format == "TIFF":
        declared = image.getexif().get(ExifTags.Base.BitsPerSample)
        bits = declared[0] if isinstance(declared, tuple) else declared
        inverted = image.getexif().get(ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO
    else:
        place = bytes(data[:4096]).find(b"sBIT") if image.format == "PNG" else -1
        bits = data[place + 4] if place >= 0 else 16
    return (bits if isinstance(bits, int) and 8 <= bits <= 16 else 16), inverted


def _scale_sixteen_bits(image: Image.Image, bits: int, inverted: bool) -> tuple[Image.Image, bool]:
    """Grey of 16 bits a pixel to 8 (Pillow alone would clip it), and whether it is dark.

    Args:
        image: of mode I;16, or I with values below 2**16.
        bits: how many of the 16 it declares as used.
        inverted: whether 0 is white.
    """
    values = np.asarray(image).astype(np.int64)
    if int(values.max()) >> bits:  # a PNG that keeps the standard has scaled them to 16 bits
        bits = 16
    dark = bits == 16 and int(values.max()) <= MOST_OF_TWELVE_BITS
    white = 2**bits - 1
    if (transparent := image.info.get("transparency")) is not None:
        values[values == transparent] = white
    return Image.fromarray(((white - values if inverted else values) >> (bits - 8)).astype(np.uint8)), dark


def _to_grey_or_colour(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits a channel or less to L or RGB: transparency lies on white."""
    if image.mode in ("I", "F"):
        raise ImageFault(
            "32 bits a pixel, or signed, whose black and white no format tells: convert it to 8 or 16 bits"
        )
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encode (h, w, 1 or 3) uint8 as JPEG without colour subsampling, which would blur small images."""
    if pixels.shape[2] == 1:
        return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "GRAY", "Gray")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "444")


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, 1 or 3) uint8 as PNG, which loses nothing."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageFault(f"{width} x {height} pixels, more than the limit of {max_pixels}")
