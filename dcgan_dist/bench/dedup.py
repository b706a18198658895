"""What de-duplication finds of near duplicates that are known: planted into photographs or drawn rooms, or judged by people.

python -m dcgan_dist.bench dedup --source celeba.tar --out scratch/faces        # plants, runs the job, counts
python -m dcgan_dist.bench dedup --judged near_duplicates.csv --out dedup/cifar10    # counts what a finished job found
python -m dcgan_dist.bench dedup --sizes 24576 65536 --source pictures/ --out scratch/sizes    # seconds of every stage
python -m dcgan_dist.bench dedup --sizes 24576 --peers --source pictures/ --out scratch/sizes    # beside peers
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.bench.dedup_sizes import measure_sizes, render_sizes
from dcgan_dist.bench.harness import Benchmark, Measured
from dcgan_dist.bench.judged_pairs import image_numbers, read_judged
from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.result_file import RESULT_NAME
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.job import run_dedup
from dcgan_dist.dedup.options import Codes, DedupOptions
from dcgan_dist.dedup.pairs_csv import PAIRS_NAME
from dcgan_dist.errors import require
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.tracking.address import sqlite_uri

Pair = frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
    """What is measured."""

    out: str
    """Folder for shards and results; with --judged the --out of a finished job."""
    source: tuple[str, ...] = ()
    """Folders or tars of photographs to plant near duplicates into; empty: drawn rooms."""
    n: int = 10_000
    """Rooms drawn, where no source is given."""
    image_size: int = 64
    """Pixels per side of the shards."""
    share: float = 0.1
    """Share of the images that become near duplicates of others."""
    codes: Codes = "recommended"
    """As in the job."""
    radius: int | None = None
    """As in the job."""
    judged: str = ""
    """CSV of judged pairs of CIFAR-10: TestID, TrainID, Judgment (0 and 1: the same photograph)."""
    sizes: tuple[int, ...] = ()
    """Images of sets that are made of the pictures of --source; for each a whole job, measured by stages."""
    peers: bool = False
    """With --sizes: also the peers that are installed, on the same images; from 25,000 on they take minutes."""
    cpus: int = 1
    """As in the job."""


def measure(options: Options) -> dict[str, Any]:
    """Count what the job finds: of planted near duplicates, or of judged ones where --judged names them."""
    out = Path(absolute(options.out, "out"))
    if options.sizes:
        source = [absolute(path, "source") for path in options.source]
        return measure_sizes(options.sizes, source, out, options.cpus, peers=options.peers)
    return judge(out, Path(options.judged)) if options.judged else plant_and_find(options, out)


def render(figures: dict[str, Any]) -> str:
    """A table of stages where sizes were asked for, else JSON."""
    return render_sizes(figures) if "sizes" in figures else json.dumps(figures, indent=1)


def plant_and_find(options: Options, out: Path) -> dict[str, Any]:
    """Plant near duplicates, run the job, and compare."""
    size = options.image_size
    inner: Source = RoomSource(n=options.n, image_size=size)
    if options.source:
        inner = FolderSource(paths=tuple(absolute(path, "source") for path in options.source), image_size=size)
    shards, results = str(out / "shards"), out / "dedup"
    source = plant_duplicates(inner, options.share)
    manifest = prepare(source, ShardOptions(out=shards, shard_samples=2000, cpus=options.cpus)).manifest
    with Measured() as measured:
        run_dedup(
            DedupOptions(
                shards=[shards],
                out=str(results),
                codes=options.codes,
                radius=options.radius,
                cpus=options.cpus,
                tracking_uri=sqlite_uri(out / "mlflow.db"),
            )
        )
    return planted_figures(planted_pairs(load_manifest(shards)), pairs_of(results / PAIRS_NAME)) | {
        "images": manifest.samples,
        "seconds": round(measured.seconds, 1),
        "codes": options.codes,
        "radius": json.loads((results / RESULT_NAME).read_text(encoding="utf-8"))["radius"],
    }


def planted_pairs(manifest: Manifest) -> dict[Pair, str]:
    """Every planted pair with its attack."""
    pairs = {}
    for number in range(len(manifest.shards)):
        with ShardSamples(manifest, number) as samples:
            for key, details in zip(samples.keys, samples.details(range(len(samples))), strict=True):
                if details and "copy_of" in details:
                    pairs[frozenset((key, details["copy_of"]))] = details["attack"]
    return pairs


def pairs_of(path: Path) -> dict[Pair, bool]:
    """Every candidate of a finished job, and whether it is a duplicate."""
    with path.open(newline="", encoding="utf-8") as file:
        return {frozenset((row["key_a"], row["key_b"])): row["duplicate"] == "1" for row in csv.DictReader(file)}


def planted_figures(planted: dict[Pair, str], candidates: dict[Pair, bool]) -> dict[str, Any]:
    """Recall by attack, and what was found that nobody planted (it may be a real near duplicate)."""
    require(bool(planted), "no near duplicate was planted: raise --share")
    accepted = {pair for pair, duplicate in candidates.items() if duplicate}
    by_attack: dict[str, list[bool]] = {}
    for pair, attack in planted.items():
        by_attack.setdefault(attack, []).append(pair in accepted)
    recall = {attack: sum(hits) / len(hits) for attack, hits in sorted(by_attack.items())}
    true, others = accepted & planted.keys(), accepted - planted.keys()
    return {
        "planted": len(planted),
        "candidates": len(candidates.keys() & planted.keys()),
        "found": len(true),
        "recall": len(true) / len(planted),
        "recall_by_attack": recall,
        "worst_attack": min(recall.values()),
        "found_and_not_planted": len(others),
        "share_not_planted": len(others) / max(1, len(accepted)),
        "examples_not_planted": sorted(sorted(pair) for pair in others)[:20],
    }


def judge(out: Path, judged: Path) -> dict[str, Any]:
    """Compare a finished job on CIFAR-10's train and test images with pairs that people judged."""
    truth = read_judged(judged)
    parities = {test % 2 for test, _ in truth}
    candidates = {
        (ids["test"], ids["train"]): duplicate
        for pair, duplicate in pairs_of(out / PAIRS_NAME).items()
        if len(ids := image_numbers("\n".join(pair))) == 2 and ids["test"] % 2 in parities
    }
    accepted = {pair for pair, duplicate in candidates.items() if duplicate}
    same = {pair for pair, alike in truth.items() if alike}
    judged_accepted = accepted & truth.keys()
    return {
        "judged": len(truth),
        "same_photograph": len(same),
        "candidates_among_them": len(same & candidates.keys()),
        "found": len(same & accepted),
        "recall": len(same & accepted) / len(same),
        "accepted_test_train_pairs": len(accepted),
        "of_these_unjudged": len(accepted - truth.keys()),
        "precision_unjudged_wrong": len(same & accepted) / max(1, len(accepted)),
        "precision_unjudged_left_out": len(same & judged_accepted) / max(1, len(judged_accepted)),
        "accepted_but_judged_different": sorted(judged_accepted - same),
        "unjudged": sorted(accepted - truth.keys()),
        "missed": sorted(same - accepted),
    }
