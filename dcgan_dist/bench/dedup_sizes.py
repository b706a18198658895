"""What de-duplication costs by stage and size: whole jobs, from tars without a manifest to the keep list.

The sets are made of real pictures: each image is four pieces of pictures around a random corner point, and one in twenty a
near copy of another.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from dcgan_dist.bench.dedup_peers import Planted, accepted_pairs, measure_peers, render_peers, scored
from dcgan_dist.bench.harness import Measured, cores, table
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.index import index_name
from dcgan_dist.data.shards.writer import Sample, write_shard
from dcgan_dist.dedup.job import run_dedup
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pairs_csv import PAIRS_NAME
from dcgan_dist.errors import require
from dcgan_dist.prepare.attacks import ATTACKS, attack
from dcgan_dist.prepare.sources.base import Rejected
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.tracking.address import sqlite_uri

SIDE, PIECE = 64, 40
"""Pixels per side of an image, and of the pictures that its pieces, of 24 to 40 pixels, are cut from."""
SHARD_SAMPLES = 10_000
COPIED_EVERY = 20
PLANNED_CORES = 64
STAGES = ("index", "thumbnails", "coder", "codes", "radius", "search", "verify", "null", "choice", "report")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Composites:
    """Any number of images, each a function of its number."""

    pictures: NDArray[np.uint8]
    """(n, PIECE, PIECE, 3)"""

    def sample(self, number: int) -> Sample:
        """One image, some of them near copies of earlier ones by all attacks in turn."""
        original = original_of(number)
        pixels = self._composite(number if original is None else original)
        if original is not None:
            pixels = attack(list(ATTACKS)[number // COPIED_EVERY % len(ATTACKS)], pixels, number)
        return Sample(key=_key(number), pixels=pixels)

    def _composite(self, number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([0, number])
        y, x = rng.integers(SIDE - PIECE, PIECE + 1, 2)
        image = np.empty((SIDE, SIDE, 3), np.uint8)
        for piece in (image[:y, :x], image[:y, x:], image[y:, :x], image[y:, x:]):
            top, left = (int(rng.integers(PIECE - side + 1)) for side in piece.shape[:2])
            picture = self.pictures[rng.integers(len(self.pictures))]
            piece[:] = picture[top : top + piece.shape[0], left : left + piece.shape[1]]
        return image


def original_of(number: int) -> int | None:
    """Number of the image that an image is a near copy of, if it is one; no copy is copied."""
    if number % COPIED_EVERY or not number:
        return None
    original = int(np.random.default_rng([1, number]).integers(number))
    return original + (original % COPIED_EVERY == 0)


def _key(number: int) -> str:
    return f"composite-{number:08d}"


def measure_sizes(
    sizes: Sequence[int], source: Sequence[str], out: Path, cpus: int, *, peers: bool = False
) -> dict[str, Any]:
    """Seconds of every stage, and what was found, for every size; also by the peers that are installed."""
    require(bool(source), "`sizes` needs pictures: name folders or tars of some with `source`")
    composites = Composites(pictures=np.stack(list(_pictures(source))))
    rows = []
    for size in sizes:
        tars = write_tars(out / f"tars-{size}", composites, size, cpus)
        row = measure_size(tars, out / f"dedup-{size}", size, cpus)
        if peers:
            found = measure_peers(map(composites.sample, range(size)), out / f"images-{size}", to_be_found(size), cpus)
            ours = ["ours", row["seconds"], row["cpu_seconds"], row["recall"], row["precision"]]
            row["peers"] = [ours, *found]
        rows.append(row)
    return {"pictures": len(composites.pictures), "cores": cores(), "cpus": cpus, "sizes": rows}


def _pictures(source: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
    folder = FolderSource(paths=tuple(source), image_size=PIECE)
    for item in folder.items():
        for sample in folder.read(item):
            if not isinstance(sample, Rejected):
                yield sample.pixels


def write_tars(folder: Path, composites: Composites, size: int, cpus: int) -> Path:
    """Write the first `size` images into tars as others make them: without index and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = [start for start in range(0, size, SHARD_SAMPLES) if not _tar(folder, start).exists()]
    for _ in run_tasks(partial(_write_tar, folder, size), composites, starts, cpus=cpus):
        pass
    return folder


def _tar(folder: Path, start: int) -> Path:
    return folder / f"composites-{start // SHARD_SAMPLES:05d}.tar"


def _write_tar(folder: Path, size: int, composites: Composites, start: int) -> None:
    path = _tar(folder, start)
    unfinished = path.with_suffix(".unfinished.tar")
    numbers = range(start, min(start + SHARD_SAMPLES, size))
    write_shard(unfinished, "train", map(composites.sample, numbers), layout="samples")
    unfinished.with_name(index_name(unfinished.name)).unlink()
    unfinished.replace(path)


def measure_size(tars: Path, out: Path, size: int, cpus: int) -> dict[str, Any]:
    """Run the job on tars and count what it found of the copies."""
    options = DedupOptions(
        shards=[str(tars)], out=str(out), cpus=cpus, tracking_uri=sqlite_uri(out.parent / "mlflow.db")
    )
    if cpus != 1:
        join_cluster()  # as on a cluster that is there
    with Measured() as measured:
        run_dedup(options)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    recall, precision = scored(accepted_pairs(out / PAIRS_NAME), to_be_found(size))
    return {
        "images": size,
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "memory_gb": psutil.Process().memory_info().rss / 1e9 + measured.memory_mb / 1e3,
        "radius": result["radius"],
        "pairs": result["candidate_pairs"],
        "removed": result["near_duplicates"],
        "recall": recall,
        "precision": precision,
        "stages": result["seconds"],
        "in_tasks": result["seconds_in_tasks"],
        "tasks": result["number_of_tasks"],
        "driver_beside_tasks": result["driver_seconds_beside_tasks"],
    }


def to_be_found(size: int) -> Planted:
    """What is to be found among so many images."""
    families: dict[int, list[str]] = {}
    for number in range(size):
        if (original := original_of(number)) is not None:
            families.setdefault(original, [_key(original)]).append(_key(number))
    return Planted(
        copies={frozenset((first, copy)) for first, *copies in families.values() for copy in copies},
        related={frozenset(pair) for family in families.values() for pair in combinations(family, 2)},
    )


def planned(row: dict[str, Any], at_once: int, cores: int) -> tuple[float, float]:
    """Seconds that a job would take on so many cores, and its efficiency: by arithmetic, from one that was measured.

    The tasks of a stage take rounds of equal tasks, though no less than what the driver did beside them; what it did before and
    after them, and all other stages, take what they took.

    Args:
        row: of `measure_sizes`.
        at_once: tasks at once when it was measured.
        cores: of the plan.
    """
    seconds, work = row["seconds"], row["seconds"]
    for name, number in row["tasks"].items():
        measured, beside = (row[column].get(name, 0.0) for column in ("in_tasks", "driver_beside_tasks"))
        one = max(0.0, min(at_once, number) * measured - beside) / max(1, number)
        work += beside + one * number - measured
        seconds += max(beside, one * -(-number // cores)) - measured
    return seconds, work / seconds / cores


def render_sizes(figures: dict[str, Any]) -> str:
    """A row for every stage, a column for every size."""
    sizes = figures["sizes"]
    formats = {"seconds": ""} | {f"{row['images']:,} images": ".1f" for row in sizes}
    rows = [[stage, *(row["stages"].get(stage, 0.0) for row in sizes)] for stage in STAGES]
    for name in ("seconds", "cpu_seconds", "memory_gb", "radius", "pairs", "removed"):
        rows.append([name, *(float(row[name]) for row in sizes)])
    head = f"{figures['pictures']:,} pictures, {figures['cpus'] or figures['cores']} tasks at once on {figures['cores']} cores"
    recall = ", ".join(f"{row['recall']:.3f}" for row in sizes)
    at_once = figures["cpus"] or figures["cores"]
    plan = ""
    if at_once > 1:  # else nothing ran in tasks, and no stage shows what it could gain
        plans = [planned(row, at_once, PLANNED_CORES) for row in sizes]
        many = ", ".join(f"{seconds:.0f} s ({efficiency:.0%})" for seconds, efficiency in plans)
        plan = f"\non {PLANNED_CORES} cores, by arithmetic (efficiency): {many}"
    peers = "".join(f"\n{row['images']:,} images\n{render_peers(row['peers'])}" for row in sizes if "peers" in row)
    return f"{head}\n{table(formats, rows)}\nrecall of planted copies: {recall}{plan}{peers}"
