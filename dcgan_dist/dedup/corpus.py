"""The data sets that are searched together, and the rows that count through all their shards."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.indexing import IndexedTar
from dcgan_dist.data.shards.keys import escape
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest, Shard
from dcgan_dist.errors import InputError
from dcgan_dist.storage.uri import is_uri


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One split of a data set."""

    label: str
    """Folder or tar that it came from, with its split where several are thinned out; unlike any other data set's."""
    manifest: Manifest
    protected: bool
    """Whether its samples stay whatever they resemble."""
    from_shards: bool
    """Whether it belongs to a data set that is thinned out; False: it is only compared with those."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusShard:
    """One shard among those of all parts."""

    part: int
    number: int
    """In the part's manifest."""
    entry: Shard
    name: str
    """By its content, the same wherever it lies; a second copy in the corpus has a name of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Parts in order; a row counts through their shards."""

    parts: tuple[Part, ...]
    shards: tuple[CorpusShard, ...] = field(init=False)
    starts: NDArray[np.int64] = field(init=False)
    """(shards + 1,) first row of each shard, and the end."""

    def __post_init__(self) -> None:
        shards: list[CorpusShard] = []
        copies = Counter[str]()
        for number, part in enumerate(self.parts):
            for shard, entry in enumerate(part.manifest.shards):
                copies[entry.sha256] += 1
                copy = f"#{copies[entry.sha256]}" if copies[entry.sha256] > 1 else ""
                name = f"{Path(entry.name).stem[:60]}-{entry.sha256[:16]}{copy}"
                shards.append(CorpusShard(part=number, number=shard, entry=entry, name=name))
        samples = np.array([shard.entry.samples for shard in shards], np.int64)
        object.__setattr__(self, "shards", tuple(shards))
        object.__setattr__(self, "starts", np.concatenate([np.zeros(1, np.int64), np.cumsum(samples)]))

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def part_starts(self) -> NDArray[np.int64]:
        """(parts + 1,) first row of each part, and the end."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum([part.manifest.samples for part in self.parts])])

    @property
    def protected(self) -> NDArray[np.bool_]:
        """(rows,) whether a row stays whatever it resembles."""
        return np.repeat([part.protected for part in self.parts], [part.manifest.samples for part in self.parts])

    def unique_keys(self, keys: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
        """Keys that name one sample of the corpus each: with their part's label where two parts have the same.

        Args:
            keys: (rows,) as they are in the shards.
        """
        if len(self.parts) == 1 or len(set(keys.tolist())) == len(keys):
            return keys
        labels = np.array([escape(part.label).encode() + b"/" for part in self.parts])
        return np.strings.add(np.repeat(labels, [part.manifest.samples for part in self.parts]), keys)

    def find(self, row: int) -> tuple[int, int, int]:
        """Numbers of a row's part, of the shard in the part's manifest, and of the sample inside the shard."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.shards[shard].part, self.shards[shard].number, int(row - self.starts[shard])


def open_corpus(shards: Sequence[str], protect: Sequence[str], cpus: int = 1) -> Corpus:
    """Open data sets: the train split of each is searched and thinned out, its other splits are searched and protected.

    Args:
        shards: what `load_manifest` takes. Without a train split, all of it is thinned out.
        protect: data sets of which nothing is dropped.
        cpus: tasks at once that read tars without a manifest, as in `run_tasks`.

    Raises:
        InputError: one cannot be opened, or is named twice.
    """
    thinned: list[Part] = []
    protected: list[Part] = []
    labels = Counter[str]()
    opened: set[tuple[str, str]] = set()
    tars = [path for path in (*shards, *protect) if not is_uri(path) and path.endswith(".tar")]
    indexed = dict(run_tasks(_open, None, list(dict.fromkeys(tars)), cpus=cpus)) if len(tars) > 1 else {}
    for path, keep_all in [(path, False) for path in shards] + [(path, True) for path in protect]:
        whole = indexed.get(path) or load_manifest(path, map_tars=partial(_in_tasks, cpus))
        named = Path(path.rstrip("/").removesuffix("/manifest.json")).name.removesuffix(".tar")
        labels[named] += 1
        label = named if labels[named] == 1 else f"{named}#{labels[named]}"
        places = {(whole.location, shard.name) for shard in whole.shards}
        if places & opened:
            raise InputError(f"{path} is named twice: give every data set once, in `shards` or in `protect`")
        opened |= places
        for split in whole.splits:
            manifest = whole.split(split)
            stays = keep_all or (split != "train" and "train" in whole.splits)
            label_of_split = label if "train" in whole.splits or len(whole.splits) == 1 else f"{label}/{split}"
            part = Part(label=label_of_split, manifest=manifest, protected=stays, from_shards=not keep_all)
            (protected if stays else thinned).append(part)
    return Corpus(parts=(*thinned, *protected))


def _open(_: None, path: str) -> Manifest:
    return load_manifest(path)


def _in_tasks(cpus: int, function: Callable[[Path], IndexedTar], tars: Sequence[Path]) -> Iterable[IndexedTar]:
    done: dict[Path, IndexedTar] = {}
    results = run_tasks(_call, function, tars, cpus=cpus)
    with progress_bar(len(tars), "index", unit="tar") as bar:
        for tar, indexed in results:
            done[tar] = indexed
            bar.update(1)
    return [done[tar] for tar in tars]


def _call(function: Callable[[Path], IndexedTar], tar: Path) -> IndexedTar:
    return function(tar)
