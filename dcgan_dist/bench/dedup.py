"""What de-duplication finds of near duplicates that are known: planted into photographs or drawn rooms, or judged by people.

python -m dcgan_dist.bench dedup --source celeba.tar --out scratch/faces        # plants, runs the job, counts
python -m dcgan_dist.bench dedup --judged near_duplicates.csv --out dedup/cifar10    # counts what a finished job found
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.bench.judged_pairs import image_numbers, read_judged
from dcgan_dist.cli.command_line import absolute, parse
from dcgan_dist.cli.result_file import RESULT_NAME, write_json
from dcgan_dist.data.shards.manifest import Manifest, load_manifest
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.job import run_dedup
from dcgan_dist.dedup.options import Codes, DedupOptions
from dcgan_dist.dedup.result import PAIRS_NAME
from dcgan_dist.errors import require
from dcgan_dist.prepare.job import runner
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.planted import PlantedSource
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare

Pair = frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupBenchmark:
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
    """Of the images that become near duplicates of others."""
    codes: Codes = "recommended"
    """As in the job."""
    radius: int | None = None
    """As in the job."""
    judged: str = ""
    """CSV of judged pairs of CIFAR-10: TestID, TrainID, Judgment (0 and 1: the same photograph)."""
    cpus: int = 1
    """As in the job."""
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Measure and print."""
    options = parse(
        DedupBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench dedup"
    )
    out = Path(absolute(options.out, "out"))
    figures = judge(out, Path(options.judged)) if options.judged else plant_and_find(options, out)
    print(json.dumps(figures, indent=1))
    write_json(options.json, figures)
    return 0


def plant_and_find(options: DedupBenchmark, out: Path) -> dict[str, Any]:
    """Plant near duplicates, run the job, and compare."""
    size = options.image_size
    inner: Source = RoomSource(n=options.n, image_size=size)
    if options.source:
        inner = FolderSource(paths=tuple(absolute(path, "source") for path in options.source), image_size=size)
    shards = out / "shards"
    source = PlantedSource(inner=inner, share=options.share)
    manifest = prepare(source, ShardOptions(out=str(shards), shard_samples=2000), run=runner(options.cpus)).manifest
    began = time.perf_counter()
    job = DedupOptions(
        shards=[str(shards)],
        out=str(out / "dedup"),
        codes=options.codes,
        radius=options.radius,
        cpus=options.cpus,
        tracking_uri=f"sqlite:///{out / 'mlflow.db'}",
    )
    run_dedup(job)
    found = pairs_of(out / "dedup" / PAIRS_NAME)
    return planted_figures(planted_pairs(load_manifest(str(shards))), found) | {
        "images": manifest.samples,
        "seconds": round(time.perf_counter() - began, 1),
        "codes": options.codes,
        "radius": json.loads((out / "dedup" / RESULT_NAME).read_text(encoding="utf-8"))["radius"],
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


def planted_figures(planted: dict[Pair, str], found: dict[Pair, bool]) -> dict[str, Any]:
    """Recall by attack, and what was found that nobody planted (it may be a real near duplicate)."""
    require(bool(planted), "no near duplicate was planted: raise --share")
    accepted = {pair for pair, duplicate in found.items() if duplicate}
    by_attack: dict[str, list[bool]] = {}
    for pair, name in planted.items():
        by_attack.setdefault(name, []).append(pair in accepted)
    recall = {name: sum(hits) / len(hits) for name, hits in sorted(by_attack.items())}
    return {
        "planted": len(planted),
        "candidates": sum(pair in found for pair in planted),
        "found": sum(pair in accepted for pair in planted),
        "recall": sum(pair in accepted for pair in planted) / len(planted),
        "recall_by_attack": recall,
        "worst_attack": min(recall.values()),
        "found_and_not_planted": len(accepted - planted.keys()),
        "share_not_planted": len(accepted - planted.keys()) / max(1, len(accepted)),
        "examples_not_planted": sorted(sorted(pair) for pair in accepted - planted.keys())[:20],
    }


def judge(out: Path, judged: Path) -> dict[str, Any]:
    """Compare a finished job on CIFAR-10's train and test images with pairs that people judged."""
    found = pairs_of(out / PAIRS_NAME)
    truth = read_judged(judged)
    ids = {test % 2 for test, _ in truth}
    across = {pair: duplicate for pair, duplicate in test_and_train(found) if pair[0] % 2 in ids}
    accepted = {pair for pair, duplicate in across.items() if duplicate}
    same = {pair for pair, alike in truth.items() if alike}
    judged_accepted = accepted & truth.keys()
    return {
        "judged": len(truth),
        "same_photograph": len(same),
        "candidates_among_them": len(same & across.keys()),
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


def test_and_train(found: dict[Pair, bool]) -> Iterable[tuple[tuple[int, int], bool]]:
    """(test id, train id) of the pairs between the two sets, by the numbers in their keys."""
    for pair, duplicate in found.items():
        ids = image_numbers("\n".join(pair))
        if len(ids) == 2:
            yield (ids["test"], ids["train"]), duplicate
