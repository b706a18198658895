"""Walking the members of a plain tar: what lies where, and what is wrong with its structure."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from dcgan_dist.data.shards.images import IMAGE_SUFFIXES
from dcgan_dist.untrusted import is_plain_path, reason

_END_BLOCK = b"\0" * tarfile.BLOCKSIZE
CHECKED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """Something wrong in a shard, and where."""

    shard: str
    member: str
    """Name of the tar member, or the key; empty where the fault is not inside one."""
    offset: int
    """Byte of the shard at which the fault, or the member that has it, begins."""
    fault: str
    """What is wrong, in a few words."""

    def __str__(self) -> str:
        return f"{self.shard}: {self.member or '(no member)'} at byte {self.offset}: {self.fault}"


class Member(NamedTuple):
    """One file of a tar."""

    name: str
    header: int
    """Where its header begins."""
    offset: int
    """Where its data begins."""
    size: int


class TarFault(ValueError):
    """The structure of a tar is broken."""

    def __init__(self, offset: int, fault: str, member: str = "") -> None:
        super().__init__(fault)
        self.offset, self.fault, self.member = offset, fault, member


def walk_tar(path: Path) -> Iterator[Member]:
    """The files of an uncompressed tar, in order; links and the like are left out.

    Raises:
        TarFault: as `walk_entries` says.
    """
    for _, info in walk_entries(path):
        if info.isfile():
            yield Member(info.name, info.offset, info.offset_data, info.size)


def walk_entries(
    source: Path | IO[bytes], *, plain_names: bool = True
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Whatever an uncompressed tar holds, in order, and the tar.

    Args:
        source: the tar; a file is read from its beginning.
        plain_names: whether names must be such as can be shown, and lead out of no folder.

    Raises:
        TarFault: after the good members: a broken header, or an end in the middle or without the closing zero blocks,
            which other readers take for a shorter but whole tar, or another tar after the first (`cat a.tar b.tar`),
            which they do not see, or a sparse file, whose bytes are not those that lie there. A compressed tar is refused,
            since it can unpack to any size.
    """
    end = 0
    try:
        with nullcontext(source) if not isinstance(source, Path) else source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    # It would remember a kilobyte of each.
                    tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                    if info.issparse():
                        raise TarFault(info.offset, "a sparse file: pack the tar again with whole files", info.name)
                    stop = info.offset_data + info.size
                    if stop > size:
                        fault = f"cut: the shard ends at byte {size}, inside this member"
                        raise TarFault(info.offset_data, fault, info.name)
                    end = stop + -stop % tarfile.BLOCKSIZE
                    if plain_names and not is_plain_path(info.name):
                        raise TarFault(info.offset, "its name has control characters, '..' or a leading '/'", info.name)
                    yield tar, info
            _check_end(file, end)
    except TarFault:
        raise
    except Exception as error:  # as a broken header makes tarfile raise anything
        raise TarFault(end, f"not a plain tar, or a broken header: {reason(error)}") from error


def _check_end(file: IO[bytes], end: int) -> None:
    file.seek(end)
    if file.read(2 * tarfile.BLOCKSIZE) != 2 * _END_BLOCK:
        raise TarFault(end, "cut or broken after the last readable member: the closing zero blocks are missing")
    after = end
    while block := file.read(CHECKED_AT_ONCE):
        if block.strip(b"\0"):
            raise TarFault(
                after, "there is more after the end of the archive: unpack the archives and join their files"
            )
        after += len(block)


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member, as WebDataset splits them: at the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


def is_image(suffix: str) -> bool:
    """Whether a suffix, which may have several parts, ends like an image's."""
    return suffix.rpartition(".")[2] in IMAGE_SUFFIXES
