"""LSUN: the official LMDB, whose values are encoded images."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import lmdb

from dcgan_dist.data.shards.images import ImageFault
from dcgan_dist.data.shards.keys import escape
from dcgan_dist.errors import InputError, require
from dcgan_dist.prepare.sources.base import Item
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.untrusted import reason, refusing

LMDB_FILE = "data.mdb"


class LmdbValue(NamedTuple):
    """Where an image lies in an LMDB."""

    path: str
    key: bytes

    def read_bytes(self) -> bytes:
        """The encoded image.

        Raises:
            ImageFault: the key is gone.
        """
        try:
            with _open_lmdb(self.path).begin() as transaction:
                value = transaction.get(self.key)
        except lmdb.Error as error:
            raise ImageFault(f"unreadable in its LMDB: {reason(error)}") from error
        if value is None:
            raise ImageFault("no longer in the LMDB")
        return value


@dataclass(frozen=True, kw_only=True)
class LmdbSource(FolderSource):
    """Every image of one LMDB folder, such as bedroom_train_lmdb, in key order, so that an output shard is one key range."""

    NOTES_SIZE: ClassVar[bool] = False

    def items(self) -> Sequence[Item]:
        """One item per key; values are not touched.

        Raises:
            InputError: the path is no LMDB, or an empty one.
        """
        (path,) = self.paths
        with (
            refusing(f"`source` {path} is damaged", "unzip LSUN's download again"),
            _open_lmdb(path).begin() as transaction,
        ):
            keys = [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        if not keys:
            raise InputError(f"`source` {path} is an empty LMDB: unzip LSUN's download again")
        return [Item(escape(key.decode("latin1")), LmdbValue(path, key)) for key in keys]

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return super().describe()[0], {"kind": "lmdb", "name": Path(self.paths[0]).name}


def lsun_source(paths: tuple[str, ...], image_size: int) -> FolderSource:
    """LSUN from its LMDB, or from the folders, tars or zips that it was exported to.

    Raises:
        InputError: several LMDBs lie there, or one and other images, or one that is still packed.
    """
    found = sorted({str(file.parent) for path in paths for file in _find_lmdbs(Path(path).expanduser().absolute())})
    if not found:
        return FolderSource(paths=paths, image_size=image_size, dataset="lsun")
    require(
        len(found) == len(paths) == 1,
        f"`source` {', '.join(paths)} cannot be one data set with an LMDB in it: name one of {', '.join(found)}",
    )
    return LmdbSource(paths=(found[0],), image_size=image_size, dataset="lsun")


def _find_lmdbs(path: Path) -> list[Path]:
    """Files of LMDBs: the path itself, or in it, or in a folder of it."""
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        with refusing(f"`source` {path} is not a whole zip", "fetch it again"), zipfile.ZipFile(path) as packed:
            holds_one = any(PurePosixPath(name).name == LMDB_FILE for name in packed.namelist())
        require(not holds_one, f"`source` {path} holds an LMDB: unzip it, and give the folder that holds {LMDB_FILE}")
        return []
    if path.name == LMDB_FILE:
        return [path]
    return [path / LMDB_FILE] if (path / LMDB_FILE).exists() else sorted(path.glob(f"*/{LMDB_FILE}"))


@lru_cache(maxsize=4)
def _open_lmdb(path: str) -> lmdb.Environment:
    """Raises InputError where it is none, or cut: the process would end where its file does."""
    try:
        opened = lmdb.open(path, readonly=True, lock=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        raise InputError(
            f"`source` {path} is not a readable LMDB ({error}): give the folder that holds {LMDB_FILE}"
        ) from error
    needed, size = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"], (Path(path) / LMDB_FILE).stat().st_size
    require(
        size >= needed,
        f"`source` {path}/{LMDB_FILE} is cut ({size:,} of {needed:,} bytes): unzip LSUN's download again",
    )
    return opened
