"""Image files wherever people keep them: in folders, tars (also tars inside tars), zips, and img2dataset's output."""

import errno
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from dcgan_dist.data.shards.images import IMAGE_SUFFIXES, MAX_ENCODED_BYTES, ImageFault
from dcgan_dist.data.shards.left_out import HIDDEN, LINK, LeftOut, is_hidden
from dcgan_dist.data.shards.tar_members import TarFault, walk_entries
from dcgan_dist.errors import InputError, require
from dcgan_dist.untrusted import reason, refusing, size_of_file

AWAY = {
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
"""Errors of a file system or a machine, not of a file."""

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

    def refuse_if_away(self, error: OSError) -> None:
        """Raise InputError where an error is not that of one file: all others would be rejected too, one by one."""
        file = Path(self.file)
        archive = bool(self.member) or self.size >= 0
        require(
            error.errno not in AWAY and (file if archive else file.parent).exists(),
            f"`source` {self.file} cannot be read from this machine ({error.strerror or error}): use a folder that all nodes "
            "see, or `cpus=1`, and run the same command again",
        )

    def _read_zip_member(self) -> bytes:
        try:
            with _open_zip(self.file).open(self.member) as member:
                data = member.read(MAX_ENCODED_BYTES + 1)  # whatever size its header claims
        except OSError:
            raise
        except Exception as error:  # damaged members make zipfile and its decoders raise anything, zlib.error for one
            raise ImageFault(f"unreadable in its zip: {reason(error)}") from error
        if len(data) > MAX_ENCODED_BYTES:
            raise ImageFault(f"unpacks to more than the limit of {MAX_ENCODED_BYTES} bytes")
        return data


def find_images(paths: Sequence[str]) -> list[tuple[str, Place]]:
    """Name and place of every image of some sources, each source in the order of its names.

    A name is the path inside its source, led by the source's name where there are several. What has no image's name is
    counted in the log.

    Raises:
        InputError: a source is missing or cannot be read, is named twice, or there is no image in any.
    """
    images: list[tuple[str, Place]] = []
    left_out = LeftOut()
    roots = [Path(path).expanduser().absolute() for path in paths]
    _refuse_twice(roots)
    for prefix, root in zip(_prefixes(paths), roots, strict=True):
        if root.is_dir():
            files = _walk_folder(root, left_out)
        elif root.is_file():
            files = _walk_file(root, root.name, left_out, whole=True)
        else:
            raise InputError(f"`source` {root} does not exist: give a folder, tar or zip of images")
        for name, place in sorted(files):
            if _is_image(name):
                images.append((prefix + name, place))
            else:
                left_out.add(name)
    if not images:
        only = f", only {left_out}" if left_out else ""
        raise InputError(
            f"no image in {', '.join(paths)}{only}: give a folder, tar or zip with files ending in "
            f"{', '.join(IMAGE_SUFFIXES)}, and unpack other archives"
        )
    for (name, _), (following, _) in pairwise(images):
        require(name != following, f"`source`: {name} comes twice: unpack it and leave out the one that is not wanted")
    if left_out:
        _log.warning("files that are no images by their names were left out: %s", left_out)
    return images


def _refuse_twice(roots: Sequence[Path]) -> None:
    """Raise InputError if a source is named twice, or lies in another one."""
    places = [_real(root) for root in roots]
    times = Counter(places)
    for root, place in zip(roots, places, strict=True):
        others = [above for above in (place, *place.parents) if times[above] > (above == place)]
        if others:
            raise InputError(
                f"`source` {root} is also part of {others[0]}, so its images would come twice: name one of the two"
            )


def _real(path: str | Path) -> Path:
    """Where a path leads through all links; a link that leads to itself stays (Path.resolve raises RuntimeError)."""
    return Path(os.path.realpath(path))


def walk_links(
    root: Path, onerror: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk, in the order of names and also through links, but not back to a folder on the way; folders may be removed."""
    place = _real(root)
    ways = {os.fspath(root): frozenset((place, *place.parents))}
    for folder, folders, names in os.walk(root, followlinks=True, onerror=onerror):
        way, below = ways.pop(folder), {name: _real(Path(folder, name)) for name in folders}
        folders[:] = sorted(name for name in folders if below[name] not in way)
        yield folder, folders, sorted(names)
        ways |= {os.path.join(folder, name): way | {below[name]} for name in folders}  # noqa: PTH118  as os.walk does


def _walk_folder(root: Path, left_out: LeftOut) -> Iterator[tuple[str, Place]]:
    """Files below a folder and below the folders that links in it lead to; a link to a folder above itself is not followed.

    Raises:
        InputError: a folder cannot be entered, or an archive in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"`source` {error.filename} cannot be read ({error.strerror}): leave it out, or make it readable"
        )

    for folder, folders, files in walk_links(root, refuse):
        for name in (*folders, *files):
            if is_hidden(name):
                left_out.add(str(Path(folder, name).relative_to(root)), HIDDEN)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            file = Path(folder, name)
            if not is_hidden(name):
                yield from _walk_file(file, str(file.relative_to(root)), left_out)


def _walk_file(file: Path, name: str, left_out: LeftOut, *, whole: bool = False) -> Iterable[tuple[str, Place]]:
    """An image is itself; a tar or zip is what it holds, below its own name unless it is the whole source."""
    suffix = file.suffix.lower()
    if suffix not in (".tar", ".zip"):
        return [(name, Place(str(file)))]
    with refusing(f"`source` {file} cannot be read", "leave it out"):
        size_of_file(file)  # a pipe might never end
    members = _walk_zip(file) if suffix == ".zip" else _walk_tar(file, str(file), 0, left_out)
    folder = "" if whole else f"{name.removesuffix(file.suffix)}/"
    return ((folder + member, place) for member, place in members)


def _walk_tar(tar: Path | IO[bytes], path: str, begin: int, left_out: LeftOut) -> Iterator[tuple[str, Place]]:
    """Files of a tar that lies in a file from a byte on, and of the tars in it."""
    places: dict[str, Place] = {}
    try:
        for opened, member in walk_entries(tar, plain_names=False):
            if member.isdir():
                continue
            if member.islnk() and member.linkname in places:
                yield member.name, places[member.linkname]
            elif not member.isfile():
                left_out.add(member.name, LINK)
            elif member.name.lower().endswith(".tar") and not is_hidden(member.name):
                inner = opened.extractfile(member)
                assert inner is not None  # as it is a file
                for name, place in _walk_tar(inner, path, begin + member.offset_data, left_out):
                    yield f"{member.name[: -len('.tar')]}/{name}", place
            else:
                places[member.name] = Place(path, begin + member.offset_data, member.size)
                yield member.name, places[member.name]
    except TarFault as error:
        place = f"{path}: {error.member}" if error.member else path
        raise InputError(
            f"`source` {place}: {error.fault} (at byte {begin + error.offset}): unpack it, or fetch it again"
        ) from error


def _walk_zip(path: Path) -> Iterator[tuple[str, Place]]:
    with refusing(f"`source` {path} is not a whole zip", "fetch it again"):
        names = _open_zip(str(path)).namelist()
    return ((name, Place(str(path), member=name)) for name in names if not name.endswith("/"))


@lru_cache(maxsize=8)
def _open_zip(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower().lstrip(".") in IMAGE_SUFFIXES and not is_hidden(name)


def _prefixes(paths: Sequence[str]) -> list[str]:
    """A leading folder for each source, so that equal names in two sources stay apart; nothing for a single source."""
    if len(paths) == 1:
        return [""]
    stems = [Path(path).stem or "source" for path in paths]
    times = Counter(stems)
    names = [stem if times[stem] == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)]
    if len(set(names)) < len(names):  # as of a, b/a and a-1
        names = [f"{number}-{stem}" for number, stem in enumerate(stems)]
    return [f"{name}/" for name in names]
