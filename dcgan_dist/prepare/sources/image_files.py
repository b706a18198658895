"""Image files wherever people keep them: in folders, tars (also tars inside tars), zips, and img2dataset's output."""

import logging
import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from dcgan_dist.data.shards.images import IMAGE_SUFFIXES, MAX_ENCODED_BYTES, ImageFault
from dcgan_dist.data.shards.tar_members import TarFault, walk_tar
from dcgan_dist.errors import InputError, require
from dcgan_dist.untrusted import size_of_file

SIDECARS = {".json", ".txt", ".cls", ".parquet", ".csv", ".xml", ".npz", ".idx", ".md"}
"""What lies beside images and belongs to them."""

_log = logging.getLogger(__name__)


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
        size = self.size if self.size >= 0 else size_of_file(Path(self.file))
        if size > MAX_ENCODED_BYTES:
            raise ImageFault(f"{size} bytes, more than the limit of {MAX_ENCODED_BYTES}")
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(size)

    def _read_zip_member(self) -> bytes:
        try:
            with _open_zip(self.file).open(self.member) as member:
                data = member.read(MAX_ENCODED_BYTES + 1)  # whatever size its header claims
        except Exception as error:  # damaged members make zipfile and its decoders raise anything, zlib.error for one
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
    others: list[str] = []
    for prefix, path in zip(_prefixes(paths), paths, strict=True):
        root = Path(path).expanduser().absolute()
        if root.is_dir():
            files = _walk_folder(root)
        elif root.is_file():
            files = _walk_file(root, root.name, whole=True)
        else:
            raise InputError(f"`source` {path} does not exist: give a folder, tar or zip of images")
        named = sorted((prefix + name, place) for name, place in files)
        images += [(name, place) for name, place in named if _is_image(name)]
        others += [name for name, _ in named if not _is_image(name)]
    if not images:
        raise InputError(
            f"no image in {', '.join(paths)}: give a folder, tar or zip with files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    for (name, _), (following, _) in pairwise(images):
        require(name != following, f"`source`: {name} comes twice: unpack it and leave out the one that is not wanted")
    _log_left_out(others)
    return images


def _log_left_out(names: Sequence[str]) -> None:
    """Count the files that are no images by their names, by suffix; what belongs to images is not counted."""
    suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in names)
    strange = {suffix: number for suffix, number in suffixes.items() if suffix not in SIDECARS}
    if strange:
        listed = ", ".join(f"{number} with {suffix}" for suffix, number in sorted(strange.items()))
        first = next(name for name in names if (Path(name).suffix.lower() or "no suffix") in strange)
        _log.warning("files that are no images by their names were left out: %s; the first is %s", listed, ascii(first))


def _walk_folder(root: Path) -> Iterator[tuple[str, Place]]:
    """Files below a folder and below the folders that links in it lead to; a link to a folder above itself is not followed.

    Raises:
        InputError: a folder cannot be entered, or a link leads nowhere.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"`source` {error.filename} cannot be read ({error.strerror}): leave it out, or make it readable"
        )

    for folder, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        above = {*Path(folder).resolve().parents, Path(folder).resolve()}
        folders[:] = [name for name in folders if Path(folder, name).resolve() not in above]
        for name in files:
            file = Path(folder, name)
            if not name.startswith("."):
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
            places: dict[str, Place] = {}
            for member in tar:
                if member.islnk() and member.linkname in places:
                    yield member.name, places[member.linkname]
                elif member.isfile() and member.name.endswith(".tar"):
                    inner = member.name.removesuffix(".tar")
                    with tarfile.open(fileobj=tar.extractfile(member), mode="r:") as nested:
                        for image in nested:
                            offset = member.offset_data + image.offset_data
                            yield f"{inner}/{image.name}", Place(str(path), offset, image.size)
                elif member.isfile():
                    places[member.name] = Place(str(path), member.offset_data, member.size)
                    yield member.name, places[member.name]
        for _ in walk_tar(path):
            pass  # for its check of the end: the module tarfile takes a cut or joined tar for a shorter one
    except TarFault as error:
        raise InputError(f"`source` {path}: {error.fault} (at byte {error.offset})") from error
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
