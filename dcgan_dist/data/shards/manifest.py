"""Opening a data set: by its folder, its manifest, a tar, or a URI."""

import dataclasses
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from dcgan_dist.data.shards.indexing import SOURCE_KIND, MapTars, index_tars, is_as_indexed
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest, Shard, parse_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import Storage, open_storage
from dcgan_dist.storage.uri import is_uri

SIZE_CHECKS_AT_ONCE = 16

_log = logging.getLogger(__name__)


def load_manifest(path: str, *, check_shards: bool = True, map_tars: MapTars = map) -> Manifest:
    """Open a data set and check that its shards are there at their sizes.

    >>> from dcgan_dist import open_shards
    >>> manifest = open_shards("shards/rooms")
    >>> print(manifest.samples, manifest.splits)

    Args:
        path: a folder of shards, its manifest.json, a URI of either, or a local tar or folder of tars that has no
            manifest, which is then indexed first; of a folder that was indexed before, the tars that are new or
            were written again.
        check_shards: False opens a data set whose shards are missing or cut, too.
        map_tars: reads the tars that have to be indexed; on a cluster, tasks.

    Raises:
        InputError: the path is missing or holds no shard, the manifest is torn, empty or of another format, a shard
            is missing or of another size than the manifest says, or a tar without manifest is damaged.
    """
    if is_uri(path):
        return _load(path.removesuffix(MANIFEST_NAME).rstrip("/"), check_shards)
    file = Path(path).expanduser().absolute()
    if not file.exists():
        raise InputError(f"{path} does not exist: give a folder of shards (the jobs `prepare_*` make one)")
    if file.is_file() and file.suffix == ".tar":
        return _of_prepared(file, check_shards) or index_tars([file], file.stem, map_tars)
    folder = file if file.is_dir() else file.parent
    if file.is_dir() and not (folder / MANIFEST_NAME).exists():
        return _index_folder(folder, map_tars)
    if file.is_file() and file.name != MANIFEST_NAME:
        raise InputError(f"{path} is neither a tar nor a {MANIFEST_NAME}: give a folder of shards")
    manifest = _load(str(folder), check_shards=False)
    if not check_shards:
        return manifest
    return _as_it_is_now(manifest, folder, map_tars)


def _of_prepared(tar: Path, check_shards: bool) -> Manifest | None:
    """The part of a prepared data set that one of its tars is; None for a tar that lies beside no such manifest."""
    try:
        whole = _load(str(tar.parent), check_shards=False)
    except InputError:
        return None
    shards = tuple(shard for shard in whole.shards if shard.name == tar.name)
    if not shards or whole.source.get("kind") == SOURCE_KIND:
        return None
    part = dataclasses.replace(whole, shards=shards)
    if check_shards:
        with closing(open_storage(part.location)) as storage:
            _check_sizes(storage, shards, part.location)
    return part


def _as_it_is_now(manifest: Manifest, folder: Path, map_tars: MapTars) -> Manifest:
    """The same manifest, unless tars came into a folder that was indexed, as one that is still downloaded, or changed there."""
    tars, listed = sorted(folder.glob("*.tar")), {shard.name: shard for shard in manifest.shards}
    indexed = manifest.source.get("kind") == SOURCE_KIND
    new = [tar.name for tar in tars if tar.name not in listed]
    known = [tar for tar in tars if tar.name in listed and tar.exists()]  # a link may lead nowhere
    changed = [tar.name for tar in known if indexed and not is_as_indexed(tar, listed[tar.name], folder)]
    with closing(open_storage(manifest.location)) as storage:
        _check_sizes(storage, [shard for shard in manifest.shards if shard.name not in changed], manifest.location)
    if indexed:
        for names, what in ((new, "are new"), (changed, "were written")):
            if names:
                _log.warning("%s: %d tars %s since it was indexed, the first is %s", folder, len(names), what, names[0])
        return index_tars(tars, manifest.dataset, map_tars) if new or changed else manifest
    if new:
        text = "%s: left out are %d tars that its manifest does not list, the first is %s"
        _log.warning(text, folder, len(new), new[0])
    return manifest


def _index_folder(folder: Path, map_tars: MapTars) -> Manifest:
    if (folder / ".prepare").exists():
        raise InputError(f"{folder} has no {MANIFEST_NAME}: its preparation did not finish; run the same command again")
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise InputError(
            f"{folder} has no {MANIFEST_NAME} and no tar: give a folder that one of the jobs `prepare_*` has filled"
        )
    return index_tars(tars, folder.name, map_tars)


def _load(location: str, check_shards: bool) -> Manifest:
    with closing(open_storage(location)) as storage:
        try:
            text = storage.read_all(MANIFEST_NAME)
        except OSError as error:
            raise InputError(f"{location}/{MANIFEST_NAME} cannot be read ({error}): give a folder of shards") from error
        manifest = parse_manifest(text, location)
        if check_shards:
            _check_sizes(storage, manifest.shards, location)
    return manifest


def _check_sizes(storage: Storage, shards: Iterable[Shard], location: str) -> None:
    def size_of(shard: Shard) -> int | OSError:
        try:
            return storage.size(shard.name)
        except OSError as error:
            return error

    with ThreadPoolExecutor(SIZE_CHECKS_AT_ONCE) as threads:
        for shard, size in zip(shards, threads.map(size_of, shards), strict=True):
            if isinstance(size, OSError):
                raise InputError(
                    f"shard {location}/{shard.name} is missing though the manifest lists it ({size}): "
                    "copy or prepare it again"
                )
            if size != shard.bytes:
                raise InputError(
                    f"shard {location}/{shard.name} has {size} bytes, the manifest says {shard.bytes}: "
                    "it was cut or changed; copy or prepare it again"
                )
