"""LSUN: the official LMDB, whose values are encoded images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lmdb

from dcgan_dist.data.shards.images import ImageFault, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.keys import escape
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.base import Item, Rejected, Source, UnlabelledSource
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.image_files import square_preprocessing


@dataclass(frozen=True, kw_only=True)
class LmdbSource(UnlabelledSource):
    """Every image of an LMDB, in key order, so that an output shard is one key range."""

    path: str
    """Folder with data.mdb, such as bedroom_train_lmdb."""
    image_size: int
    dataset: str = "lsun"

    def items(self) -> Sequence[Item]:
        """One item per key; values are not touched.

        Raises:
            InputError: the path is no LMDB, or an empty one.
        """
        with _open_lmdb(self.path).begin() as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(keys=True, values=False)]
        if not keys:
            raise InputError(f"`source` {self.path} is an empty LMDB: unzip LSUN's download again")
        return [Item(escape(key.decode("latin1")), key) for key in keys]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Decode, resize and crop one value."""
        with _open_lmdb(self.path).begin(buffers=True) as transaction:
            value = transaction.get(item.ref)
            try:
                if value is None:
                    raise ImageFault("no longer in the LMDB")
                with open_image(value) as image:
                    pixels = to_array(resize_and_crop(image, self.image_size), self.image_channels)
            except ImageFault as error:
                yield Rejected(key=item.key, reason=str(error))
                return
        yield Sample(key=item.key, pixels=pixels)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        return square_preprocessing(self.image_size), {"kind": "lmdb", "name": Path(self.path).name}


def lsun_source(paths: tuple[str, ...], image_size: int) -> Source:
    """LSUN from its LMDB, or from the folders, tars or zips that it was exported to."""
    if len(paths) == 1 and (Path(paths[0]).expanduser() / "data.mdb").exists():
        return LmdbSource(path=str(Path(paths[0]).expanduser().absolute()), image_size=image_size)
    return FolderSource(paths=paths, image_size=image_size, dataset="lsun")


@lru_cache(maxsize=4)
def _open_lmdb(path: str) -> lmdb.Environment:
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False, max_readers=1)
    except lmdb.Error as error:
        raise InputError(
            f"`source` {path} is not a readable LMDB ({error}): give the folder that holds data.mdb"
        ) from error
