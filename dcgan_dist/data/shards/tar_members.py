"""Walking the members of a plain tar: what lies where, and what is wrong with its structure."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
    """The files of an uncompressed tar, in order.

    Raises:
        TarFault: after the good members: a broken header, or an end in the middle or without the closing zero blocks,
            which other readers take for a shorter but whole tar, or another tar after the first (`cat a.tar b.tar`),
            which they do not see. A compressed tar is refused, since it can unpack to any size.
    """
    size = path.stat().st_size
    end = 0
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                stop = info.offset_data + info.size
                if stop > size:
                    raise TarFault(
                        info.offset_data, f"cut: the shard ends at byte {size}, inside this member", info.name
                    )
                end = stop + -stop % tarfile.BLOCKSIZE
                if not is_plain_path(info.name):
                    raise TarFault(info.offset, "its name has control characters, '..' or a leading '/'", info.name)
                if info.isfile():
                    yield Member(info.name, info.offset, info.offset_data, info.size)
    except TarFault:
        raise
    except Exception as error:  # as a broken header makes tarfile raise anything
        raise TarFault(end, f"not a plain tar, or a broken header: {reason(error)}") from error
    with path.open("rb") as file:
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
