"""LSUN: the official LMDB, whose values are encoded images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import lmdb

from dcgan_dist.data.shards.images import ImageFault
from dcgan_dist.data.shards.keys import escape
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.base import Item
from dcgan_dist.prepare.sources.folder import FolderSource


class LmdbValue(NamedTuple):
    """Where an image lies in an LMDB."""

    path: str
    key: bytes

    def read_bytes(self) -> bytes:
        """The encoded image.

        Raises:
            ImageFault: the key is gone.
        """
        with _open_lmdb(self.path).begin() as transaction:
            value = transaction.get(self.key)
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
        with _open_lmdb(path).begin() as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        if not keys:
            raise InputError(f"`source` {path} is an empty LMDB: unzip LSUN's download again")
        return [Item(escape(key.decode("latin1")), LmdbValue(path, key)) for key in keys]

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return super().describe()[0], {"kind": "lmdb", "name": Path(self.paths[0]).name}


def lsun_source(paths: tuple[str, ...], image_size: int) -> FolderSource:
    """LSUN from its LMDB, or from the folders, tars or zips that it was exported to."""
    if len(paths) == 1 and (Path(paths[0]).expanduser() / "data.mdb").exists():
        paths = (str(Path(paths[0]).expanduser().absolute()),)
        return LmdbSource(paths=paths, image_size=image_size, dataset="lsun")
    return FolderSource(paths=paths, image_size=image_size, dataset="lsun")


@lru_cache(maxsize=4)
def _open_lmdb(path: str) -> lmdb.Environment:
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        raise InputError(
            f"`source` {path} is not a readable LMDB ({error}): give the folder that holds data.mdb"
        ) from error
