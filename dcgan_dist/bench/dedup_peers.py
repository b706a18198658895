"""What peers find of the planted copies, with their defaults and their own search, in the same run as our job."""

import csv
import importlib.util
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from dcgan_dist.bench.harness import Measured, cores, table
from dcgan_dist.data.shards.writer import Sample

Pair = frozenset[str]


class Planted(NamedTuple):
    """Pairs of keys that are known to be of one photograph."""

    copies: set[Pair]
    """Every copy and its original."""
    related: set[Pair]
    """These, and two copies of one original."""


def measure_peers(samples: Iterable[Sample], folder: Path, planted: Planted, cpus: int) -> list[Any]:
    """Name, seconds, processor seconds, recall and precision of every peer that is installed; writing images does not count.

    Args:
        samples: the images; peers read files.
        folder: for the files.
        planted: what is to be found.
        cpus: processes of a peer; 0: as many as there are cores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        Image.fromarray(sample.pixels).save(folder / f"{sample.key}.png")
    rows = []
    for name, find in PEERS.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: it is left out")
            continue
        with Measured() as measured:
            pairs = set(find(folder, cpus or cores()))
        rows.append([name, measured.seconds, measured.cpu_seconds, *scored(pairs, planted)])
    return rows


def scored(pairs: set[Pair], planted: Planted) -> tuple[float, float]:
    """Recall: share of the copies that were found with their original; precision: share of the found pairs that are related."""
    found, right = len(pairs & planted.copies), len(pairs & planted.related)
    return found / max(1, len(planted.copies)), right / max(1, len(pairs))


def accepted_pairs(path: Path) -> set[Pair]:
    """The duplicates of a pairs.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return {frozenset(row[:2]) for row in csv.reader(file) if row[4] == "1"}


def _imagededup(folder: Path, cpus: int) -> Iterator[Pair]:
    """pHash, 64 bits, at most 10 apart."""
    from imagededup.methods import PHash  # pyright: ignore[reportMissingImports]

    found = PHash(verbose=False).find_duplicates(str(folder), num_enc_workers=cpus, num_dist_workers=cpus)
    for name, others in found.items():
        yield from (frozenset((Path(name).stem, Path(other).stem)) for other in others)


def _cleanvision(folder: Path, cpus: int) -> Iterator[Pair]:
    """Equal pixels, or equal pHashes of 64 bits."""
    from cleanvision import Imagelab  # pyright: ignore[reportMissingImports]

    lab = Imagelab(data_path=str(folder), verbose=False)
    issues = ("exact_duplicates", "near_duplicates")
    lab.find_issues({issue: {} for issue in issues}, n_jobs=cpus, verbose=False)
    for issue in issues:
        for names in lab.info[issue]["sets"]:
            yield from map(frozenset, combinations(sorted(Path(name).stem for name in names), 2))


PEERS = {"imagededup": _imagededup, "cleanvision": _cleanvision}


def render_peers(rows: list[Any]) -> str:
    """A table, a row for each."""
    formats = {"planted copies": "", "seconds": ".1f", "cpu_seconds": ".1f", "recall": ".3f", "precision": ".3f"}
    return table(formats, rows)
