"""What is kept of every shard: its thumbnails and its codes, in files that are verified before they are used.

`thumbnails/NAME.npy` holds the 32x32 pictures, to be mapped into memory; `thumbnails/NAME.npz` their hash, which decides where
the time of their file is not the noted one, the resolution of each original and what could not be read. `codes/NAME-CODER.npz` holds keys and codes. Nothing in them is ever unpickled.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.images import ImageFault
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import CorpusShard, Part
from dcgan_dist.errors import InputError
from dcgan_dist.files import sha256_of, whole_file
from dcgan_dist.similarity.thumbnails import SIDE, thumbnails
from dcgan_dist.untrusted import read_arrays, reason

FORMAT = 1
AT_ONCE, WAITING_BYTES = 256, 64 << 20
"""Images decoded before they are made small together, at most, and their size from which no more wait."""


class Damaged(ValueError):
    """A file that is not what was written; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardThumbnails:
    """What is known of the thumbnails of one shard, which lie in a file: (n, 3, 32, 32), zeros where a sample could not be read."""

    resolution: NDArray[np.int64]
    """(n,) pixels of each original, as far as known."""
    faults: dict[int, str]
    """What is wrong with the samples that could not be read."""
    sha256: str
    """Hash of the file of thumbnails, hex."""


def write_npz(path: Path, **arrays: Any) -> None:
    """Write arrays without pickles in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_npz` wrote; the checksum of every array is compared.

    Raises:
        Damaged: it is cut, changed, of another format, or holds pickles.
        FileNotFoundError: it is not there.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    with damages_of(path):
        return read_arrays(path)


@contextmanager
def damages_of(path: Path) -> Iterator[None]:
    """Raise Damaged for whatever the content of a file makes its reader raise inside the `with`; a missing file apart."""
    try:
        yield
    except (Damaged, FileNotFoundError):
        raise
    except Exception as error:
        raise Damaged(f"{path} is damaged ({reason(error)})") from error


def make_thumbnails(folder: Path, part: Part, shard: CorpusShard) -> ShardThumbnails:
    """Decode every image of a shard and write its thumbnails; returns what `load_thumbnails` will.

    Raises:
        InputError: the shard or the folder cannot be read or written.
    """
    entry = shard.entry
    faults: dict[int, str] = {}
    resolution = np.zeros(entry.samples, np.int64)
    target = pictures_path(folder, shard)
    unfinished = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (entry.samples, 3, SIDE, SIDE))
        with ShardSamples(part.manifest, shard.number) as samples:
            for rows, images in _images_by_size(samples, faults):
                made[rows] = thumbnails(np.stack(images))
                resolution[rows] = images[0].shape[1] * images[0].shape[2]
            details = samples.details(range(len(samples)))
            original = [_original_resolution(one) for one in details]
        made.flush()
        faults = {row: fault[:200] for row, fault in faults.items()}
        resolution = np.where(original, original, resolution)
        written_ns = unfinished.stat().st_mtime_ns  # before the hash: what is written after it is found by its time
        digest = sha256_of(unfinished)
        unfinished.replace(target)
        write_npz(
            target.with_suffix(".npz"),
            format=FORMAT,
            shard_sha256=entry.sha256,
            thumbnails_sha256=digest,
            written_ns=written_ns,
            resolution=resolution,
            bad_rows=np.array(list(faults), np.int64),
            bad_words=np.array(list(faults.values()), str),
        )
        return ShardThumbnails(resolution=resolution, faults=faults, sha256=digest)
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error}): make room or choose another") from error


def _images_by_size(
    samples: ShardSamples, faults: dict[int, str]
) -> Iterator[tuple[list[int], list[NDArray[np.uint8]]]]:
    """Rows and images (c, h, w) of one size, at most AT_ONCE of WAITING_BYTES; what cannot be read is noted."""
    groups: dict[tuple[int, ...], tuple[list[int], list[NDArray[np.uint8]]]] = {}
    waiting, size = 0, 0
    for row in range(len(samples)):
        try:
            pixels = samples.read(row).pixels()
        except ImageFault as error:
            faults[row] = str(error)
            continue
        rows, images = groups.setdefault(pixels.shape, ([], []))
        rows.append(row)
        images.append(pixels)
        waiting, size = waiting + 1, size + pixels.nbytes
        if waiting == AT_ONCE or size >= WAITING_BYTES:
            yield from groups.values()
            groups, waiting, size = {}, 0, 0
    yield from groups.values()


def _original_resolution(details: dict[str, Any] | None) -> int:
    """Pixels of the image that a sample was made from, where its details tell; else 0.

    `original_size` is what our own sources write, `original_width` and `original_height` what img2dataset does; of a face
    it is the box in its photograph.
    """
    if not isinstance(details, dict):
        return 0
    try:
        if "original_size" in details:
            width, height = details["original_size"]
        elif "original_width" in details:
            width, height = details["original_width"], details["original_height"]
        elif "photo" in details:
            left, top, right, bottom = details["box"]
            width, height = right - left, bottom - top
        else:
            return 0
        return max(0, round(width * height))
    except (TypeError, ValueError, KeyError):
        return 0


def load_thumbnails(folder: Path, shard: CorpusShard) -> ShardThumbnails | None:
    """The thumbnails of a shard; None where they were not made yet.

    Raises:
        Damaged: a file is not what was written.
    """
    path = pictures_path(folder, shard)
    try:
        about = read_npz(path.with_suffix(".npz"))
        with damages_of(path):
            if str(about["shard_sha256"]) != shard.entry.sha256 or int(about["format"]) != FORMAT:
                raise Damaged(f"{path.with_suffix('.npz')} belongs to another shard or version")
            digest = str(about["thumbnails_sha256"])
            # Reading all of them again would take seconds for every million, whatever is new.
            as_written = "written_ns" in about and int(about["written_ns"]) == path.stat().st_mtime_ns
            if not as_written and sha256_of(path) != digest:
                raise Damaged(f"{path} is damaged (its SHA-256 is not the one noted)")
            pictures = np.load(path, mmap_mode="r", allow_pickle=False)
            words = [str(word) for word in about["bad_words"]]
            faults = dict(zip(about["bad_rows"].tolist(), words, strict=True))
            found = ShardThumbnails(resolution=about["resolution"], faults=faults, sha256=digest)
    except FileNotFoundError:
        return None
    n = shard.entry.samples
    if pictures.shape != (n, 3, SIDE, SIDE) or pictures.dtype != np.uint8 or found.resolution.shape != (n,):
        raise Damaged(f"{path} is damaged (it does not fit its shard)")
    return found


def make_codes(
    folder: Path, part: Part, shard: CorpusShard, encode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], coder: str
) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]]:
    """Encode the thumbnails of a shard and write {keys, codes}; returns what `load_codes` will.

    Args:
        folder: of all files.
        part: that the shard belongs to.
        shard: to be encoded; its thumbnails are there.
        encode: thumbnails to codes.
        coder: hash of the coder.
    """
    found = load_thumbnails(folder, shard)
    assert found is not None, shard.name
    codes = encode(np.load(pictures_path(folder, shard), allow_pickle=False))
    with ShardSamples(part.manifest, shard.number) as samples:
        keys = np.array([key.encode() for key in samples.keys])
    try:
        write_npz(
            codes_path(folder, shard, coder),
            format=FORMAT,
            keys=keys,
            codes=codes,
            shard_sha256=shard.entry.sha256,
            thumbnails_sha256=found.sha256,
            coder=coder,
            sha256=_content_hash(keys, codes),
        )
        return keys, codes
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error}): make room or choose another") from error


def load_codes(
    folder: Path, shard: CorpusShard, coder: str, pictures: str
) -> tuple[NDArray[np.bytes_], NDArray[np.uint8]] | None:
    """Keys (n,) and codes (n, code_bits / 8) of a shard; None where they were not made yet, or of other thumbnails.

    Args:
        folder: of all files.
        shard: that was encoded.
        coder: hash of the coder.
        pictures: hash of the thumbnails.

    Raises:
        Damaged: the file is not what was written.
    """
    path = codes_path(folder, shard, coder)
    try:
        found = read_npz(path)
        keys, codes = found["keys"], found["codes"]
        about = [str(found[name]) for name in ("format", "shard_sha256", "coder", "sha256")]
        if str(found["thumbnails_sha256"]) != pictures:
            return None
    except FileNotFoundError:
        return None
    except KeyError as error:
        raise Damaged(f"{path} is damaged (no {error})") from error
    n = shard.entry.samples
    if keys.shape != (n,) or keys.dtype.kind != "S" or codes.shape[:1] != (n,) or codes.dtype != np.uint8:
        raise Damaged(f"{path} is damaged (it does not fit its shard)")
    if about != [str(FORMAT), shard.entry.sha256, coder, _content_hash(keys, codes)]:
        raise Damaged(f"{path} is damaged, or belongs to another shard or coder")
    return keys, codes


def pictures_path(folder: Path, shard: CorpusShard) -> Path:
    """File of a shard's thumbnails."""
    return folder / "thumbnails" / f"{shard.name}.npy"


def codes_path(folder: Path, shard: CorpusShard, coder: str) -> Path:
    """File of a shard's codes."""
    return folder / "codes" / f"{shard.name}-{coder[:8]}.npz"


def _content_hash(keys: NDArray[np.bytes_], codes: NDArray[np.uint8]) -> str:
    return hashlib.sha256(b"\n".join(keys.tolist()) + codes.tobytes()).hexdigest()
