"""Image files wherever people keep them: in folders, tars (also tars inside tars), zips, and img2dataset's output."""

from __future__ import annotations

import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dcgan_dist.data.shards.images import IMAGE_SUFFIXES, MAX_ENCODED_BYTES, ImageFault
from dcgan_dist.errors import InputError


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """A file, a range of one, or a member of a zip."""

    file: str
    offset: int = 0
    size: int = -1
    member: str = ""

    def read_bytes(self) -> bytes:
        """Its bytes.

        Raises:
            ImageFault: they are more than MAX_ENCODED_BYTES, or a zip member is broken.
        """
        if self.member:
            return self._read_zip_member()
        size = self.size if self.size >= 0 else Path(self.file).stat().st_size
        if size > MAX_ENCODED_BYTES:
            raise ImageFault(f"{size} bytes, more than the limit of {MAX_ENCODED_BYTES}")
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(size)

    def _read_zip_member(self) -> bytes:
        try:
            with _open_zip(self.file).open(self.member) as member:
                data = member.read(MAX_ENCODED_BYTES + 1)  # whatever size its header claims
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise ImageFault(f"unreadable in its zip: {error}") from error
        if len(data) > MAX_ENCODED_BYTES:
            raise ImageFault(f"unpacks to more than the limit of {MAX_ENCODED_BYTES} bytes")
        return data


def find_images(paths: Sequence[str]) -> list[tuple[str, Place]]:
    """Name and place of every image of some sources, each source in the order of its names.

    A name is the path inside its source, led by the source's name where there are several.

    Raises:
        InputError: a source is missing or cannot be read, or there is no image in any.
    """
    images: list[tuple[str, Place]] = []
    for prefix, path in zip(_prefixes(paths), paths, strict=True):
        root = Path(path).expanduser().absolute()
        if root.is_dir():
            files = _walk_folder(root)
        elif root.is_file():
            files = _walk_file(root, root.name, whole=True)
        else:
            raise InputError(f"`source` {path} does not exist: give a folder, tar or zip of images")
        images += sorted((prefix + name, place) for name, place in files if _is_image(name))
    if not images:
        raise InputError(
            f"no image in {', '.join(paths)}: give a folder, tar or zip with files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return images


def _walk_folder(root: Path) -> Iterator[tuple[str, Place]]:
    for file in root.rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            yield from _walk_file(file, str(file.relative_to(root)))


def _walk_file(file: Path, name: str, *, whole: bool = False) -> Iterable[tuple[str, Place]]:
    """An image is itself; a tar or zip is what it holds, below its own name unless it is the whole source."""
    suffix = file.suffix.lower()
    if suffix not in (".tar", ".zip"):
        return [(name, Place(str(file)))]
    members = _walk_tar(file) if suffix == ".tar" else _walk_zip(file)
    folder = "" if whole else f"{name.removesuffix(file.suffix)}/"
    return ((folder + member, place) for member, place in members)


def _walk_tar(path: Path) -> Iterator[tuple[str, Place]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".tar"):
                    inner = member.name.removesuffix(".tar")
                    with tarfile.open(fileobj=tar.extractfile(member), mode="r:") as nested:
                        for image in nested:
                            offset = member.offset_data + image.offset_data
                            yield f"{inner}/{image.name}", Place(str(path), offset, image.size)
                elif member.isfile():
                    yield member.name, Place(str(path), member.offset_data, member.size)
    except tarfile.TarError as error:
        raise InputError(f"`source` {path} is not a plain tar ({error}): unpack it and give the folder") from error


def _walk_zip(path: Path) -> Iterator[tuple[str, Place]]:
    try:
        names = _open_zip(str(path)).namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"`source` {path} is not a whole zip ({error}): fetch it again") from error
    return ((name, Place(str(path), member=name)) for name in names if not name.endswith("/"))


@lru_cache(maxsize=8)
def _open_zip(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _is_image(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower().lstrip(".") in IMAGE_SUFFIXES and not path.name.startswith(".")


def _prefixes(paths: Sequence[str]) -> list[str]:
    """A leading folder for each source, so that equal names in two sources stay apart; nothing for a single source."""
    if len(paths) == 1:
        return [""]
    stems = [Path(path).stem or "source" for path in paths]
    times = Counter(stems)
    return [f"{stem if times[stem] == 1 else f'{stem}-{number}'}/" for number, stem in enumerate(stems)]
