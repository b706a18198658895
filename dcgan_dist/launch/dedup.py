"""De-duplication from shards to keep list and report: every stage goes on where it stopped."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.config import InputError
from dcgan_dist.curation.choice import Choice, choose, keep_lists, removed_by_radius
from dcgan_dist.curation.codes import Coder
from dcgan_dist.curation.corpus import Corpus, open_corpus
from dcgan_dist.curation.entropy import code_entropy
from dcgan_dist.curation.groups import components, diameters, members
from dcgan_dist.curation.null_pairs import (
    MIRROR,
    UPSIDE_DOWN,
    Axis,
    FlipTest,
    flip_test,
    random_distances,
    separating_threshold,
)
from dcgan_dist.curation.pair_files import ScoredPairs
from dcgan_dist.curation.picture_table import PictureTable
from dcgan_dist.curation.radius import default_radius
from dcgan_dist.curation.verifier import THRESHOLD
from dcgan_dist.data.keep_list import KeepList, write_keep_list
from dcgan_dist.data.sources.shards import ShardSource, check_alike
from dcgan_dist.data.whole_file import whole_file
from dcgan_dist.launch.dedup_coder import coder_hash, ready_coder
from dcgan_dist.launch.dedup_pairs import all_pairs, pair_rule
from dcgan_dist.launch.dedup_plan import DedupOptions, describe
from dcgan_dist.launch.dedup_report import Findings, build_report
from dcgan_dist.launch.dedup_shards import Originals, Say, make_all_codes, make_all_pictures
from dcgan_dist.launch.page import save_page
from dcgan_dist.launch.prepare import ShardOptions, prepare
from dcgan_dist.launch.prepare_job import progress_bar
from dcgan_dist.launch.prepare_tasks import runner
from dcgan_dist.launch.result_file import RESULT_NAME, write_result
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable

EXPERIMENT = "deduplication"
CURVE_POINTS = 9
FLIPS: dict[str, Axis] = {"mirror": MIRROR, "upside_down": UPSIDE_DOWN}
PAIRS_NAME, KEEP_NAME, REPORT_NAME = "pairs.csv", "keep_list.json", "report.html"


def run_dedup(options: DedupOptions, *, say: Say = print) -> int:
    """Find near duplicates, choose what stays, and write pairs, keep list, report and result.

    Args:
        options: with absolute paths.
        say: prints a line.

    Returns:
        Exit code 0.

    Raises:
        InputError: something a user can mend.
    """
    corpus = open_corpus(options.shards, options.protect)
    if options.dry_run:
        say(describe(options, corpus, options.cpus or len(os.sched_getaffinity(0))))
        return 0
    if options.rewrite:
        check_alike(part.manifest for part in corpus.parts if part.own)
    check_reachable(options.tracking_uri)
    folder = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder} cannot be made ({error.strerror}): choose another folder") from error
    seconds: dict[str, float] = {}
    with timed(seconds, "thumbnails"):
        originals = make_all_pictures(corpus, folder, options.cpus, say)
    usable = ~originals.unreadable
    table = PictureTable.of(corpus, folder)
    with timed(seconds, "coder"):
        rows = np.flatnonzero(usable & ~corpus.protected)
        coder, coder_folder = ready_coder(options.codes, options.coder, folder, table, rows, say)
        digest = coder_hash(coder_folder)
    with timed(seconds, "codes"):
        keys, codes = make_all_codes(corpus, folder, coder_folder, digest, originals, options.cpus, say)
    with timed(seconds, "radius"):
        random = random_distances(codes, np.flatnonzero(usable))
        radius = chosen_radius(options, codes[usable])
    with timed(seconds, "pairs"):
        rule = pair_rule(corpus, originals.hashes, digest, radius)
        pairs = all_pairs(corpus, codes, usable, table, folder, rule, options.cpus, say)
    with timed(seconds, "null"):
        flips = flip_tests(corpus, codes, usable, table, coder, radius, pairs)
        threshold = None if options.codes == "paper" else separating_threshold(pairs.scores, flips["mirror"], THRESHOLD)
    with timed(seconds, "choice"):
        accepted = is_duplicate(pairs, threshold)
        chosen = {"keys": keys, "resolution": originals.resolution}
        choice = choose(corpus, pairs.where(accepted), unreadable=~usable, **chosen)
        names = corpus.unique_keys(keys)
        lists = keep_lists(
            corpus,
            choice,
            pairs.where(accepted),
            keys=keys,
            names=names,
            faults=originals.faults,
            radius=radius,
            rule={"codes": options.codes, "coder": digest, "threshold": threshold},
        )
        write_pairs_csv(folder / PAIRS_NAME, names, pairs, accepted)
        write_keep_list(lists[0] if len(lists) == 1 else lists, folder / KEEP_NAME)
    found = Findings(
        corpus=corpus,
        names=names,
        pairs=pairs,
        accepted=accepted,
        choice=choice,
        flips=flips,
        flips_accepted={name: is_duplicate(flip.found, threshold) for name, flip in flips.items()},
        null_distances=random,
        result={},
        faults=originals.faults,
        threshold=threshold,
    )
    with timed(seconds, "report"):
        radii = np.unique(np.linspace(0, radius, CURVE_POINTS).round().astype(int)).tolist()
        removed = removed_by_radius(corpus, pairs.where(accepted), radii, **chosen)
        curve = list(zip(radii, removed, strict=True))
        result = summary(options, found, coder, digest, codes, originals, lists, radius, curve)
        found = dataclasses.replace(found, result=result)
        save_page(build_report(found), folder / REPORT_NAME)
    result["seconds"] = rounded(seconds)
    result = finish(options, result, say)
    if options.rewrite:
        with timed(seconds, "rewrite"):
            result["rewritten"] = rewrite(options, corpus, choice, names, lists)
        write_result(folder, result | {"seconds": rounded(seconds)})
    return 0


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long a stage takes."""
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """As they are written."""
    return {name: round(value, 2) for name, value in seconds.items()}


def chosen_radius(options: DedupOptions, codes: NDArray[np.uint8]) -> int:
    """The radius asked for; else 0 for the paper's codes, and what the verifier can bear for the recommended ones."""
    if options.radius is not None:
        return options.radius
    return 0 if options.codes == "paper" else default_radius(codes)


def flip_tests(
    corpus: Corpus,
    codes: NDArray[np.uint8],
    usable: NDArray[np.bool_],
    table: PictureTable,
    coder: Coder,
    radius: int,
    pairs: ScoredPairs,
) -> dict[str, FlipTest]:
    """What flipped images find among those that are not related to them at once."""
    near = pairs.where(is_duplicate(pairs, THRESHOLD))
    return {
        name: flip_test(
            codes,
            np.flatnonzero(usable),
            radius=radius,
            gather=table.gather,
            encode=coder.encode,
            related=components(len(corpus), near.first, near.second),
            axis=axis,
        )
        for name, axis in FLIPS.items()
    }


def is_duplicate(pairs: ScoredPairs, threshold: float | None) -> NDArray[np.bool_]:
    """Which candidates are duplicates: those that score enough; in the paper's mode, without a threshold, all."""
    return np.ones(len(pairs.first), bool) if threshold is None else pairs.scores >= threshold


def write_pairs_csv(path: Path, names: NDArray[np.bytes_], pairs: ScoredPairs, accepted: NDArray[np.bool_]) -> None:
    """Every candidate with distance, score and whether it is a duplicate (1 or 0), in the order of the shards."""
    block = 1 << 16
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("key_a", "key_b", "distance", "score", "duplicate"))
        for start in range(0, len(pairs.first), block):
            part = slice(start, start + block)
            keys = (np.strings.decode(names[rows[part]], "utf-8").tolist() for rows in (pairs.first, pairs.second))
            scores = (f"{score:.3f}" for score in pairs.scores[part].tolist())
            flags = accepted[part].astype(int).tolist()
            writer.writerows(zip(*keys, pairs.distances[part].tolist(), scores, flags, strict=True))


def summary(
    options: DedupOptions,
    found: Findings,
    coder: Coder,
    digest: str,
    codes: NDArray[np.uint8],
    originals: Originals,
    lists: list[KeepList],
    radius: int,
    removed: list[tuple[int, int]],
) -> dict[str, Any]:
    """What result.json holds."""
    corpus, choice = found.corpus, found.choice
    groups, clusters = members(choice.components), members(choice.leaders)
    widths = diameters(codes, groups)
    duplicates = found.pairs.where(found.accepted)
    protected = corpus.protected
    usable = ~originals.unreadable
    entropy = code_entropy(codes[usable]) if usable.sum() >= 4 else None
    return {
        "images": len(corpus),
        "thinned_images": int((~protected).sum()),
        "protected_images": int(protected.sum()),
        "kept": int((choice.kept & ~protected).sum()),
        "near_duplicates": int(choice.near_duplicates.sum()),
        "unreadable": len(originals.faults),
        "codes": options.codes,
        "code_bits": coder.code_bits,
        "coder": digest,
        "radius": radius,
        "threshold": found.threshold,
        "candidate_pairs": len(found.pairs.first),
        "duplicate_pairs": len(duplicates.first),
        "duplicate_pairs_with_protected": int((protected[duplicates.first] | protected[duplicates.second]).sum()),
        "clusters": len(clusters),
        "largest_cluster": int(clusters.sizes.max(initial=1)),
        "components": len(groups),
        "largest_component": int(groups.sizes.max(initial=1)),
        "chains": int((widths > radius).sum()),
        "largest_diameter": int(widths.max(initial=0)),
        "removed_by_radius": removed,
        "entropy": dataclasses.asdict(entropy)
        if entropy
        else {"collision_entropy_bits": 0.0, "degrees_of_freedom": 0.0},
        "false_discovery": {name: false_discovery(found, name) for name in FLIPS},
        "manifests": {part.label: part.manifest.hash for part in corpus.parts if not part.protected},
        "keep_list": str(options.folder / KEEP_NAME),
        "keep_list_hashes": [one.hash for one in lists],
        "pairs": str(options.folder / PAIRS_NAME),
        "report": str(options.folder / REPORT_NAME),
    }


def false_discovery(found: Findings, flip: str) -> dict[str, float]:
    """What a flip test says of the accepted pairs."""
    test, hits = found.flips[flip], int(found.flips_accepted[flip].sum())
    accepted = max(1, int(found.accepted.sum()))
    expected, most = test.expected(hits), test.expected(hits, confidence=0.95)
    return {
        "queries": test.queries,
        "accepted": hits,
        "expected_pairs": expected,
        "share": min(1.0, expected / accepted),
        "bound": min(1.0, most / accepted),
    }


def rewrite(
    options: DedupOptions, corpus: Corpus, choice: Choice, names: NDArray[np.bytes_], lists: list[KeepList]
) -> dict[str, Any]:
    """Write what stays of the thinned data sets, with their other splits, as shards.

    Raises:
        InputError: the folder cannot be written, or holds other shards.
    """
    starts, kept = corpus.part_starts, choice.kept
    own = [number for number, part in enumerate(corpus.parts) if part.own]
    positions = [np.flatnonzero(kept[starts[number] : starts[number + 1]]) for number in own]
    source = ShardSource(
        manifests=tuple(corpus.parts[number].manifest for number in own),
        positions=tuple(positions),
        keys=tuple(names[starts[number] + chosen] for number, chosen in zip(own, positions, strict=True)),
        origin={"keep_lists": [one.hash for one in lists], "radius": lists[0].radius},
    )
    largest = max(max(part.manifest.shard_samples) for part in corpus.parts)
    shards = ShardOptions(out=options.rewrite, layout=source.layout, shard_samples=largest)
    try:
        return prepare(source, shards, run=runner(options.cpus), progress_bar=progress_bar).to_json()
    except InputError as error:
        raise InputError(str(error).replace("--out", "--rewrite")) from error


def finish(options: DedupOptions, result: dict[str, Any], say: Say) -> dict[str, Any]:
    """Write the result, say it and record it on the tracking server; an unchanged result is not recorded again.

    Returns:
        The result with its run, as it is written.

    Raises:
        InputError: the tracking server cannot be used; the result is written all the same.
    """
    same = ("keep_list_hashes", "candidate_pairs", "coder", "radius", "manifests")
    try:
        before = json.loads((options.folder / RESULT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    result = json.loads(json.dumps(result))
    unchanged = all(before.get(name) == result[name] for name in same)
    recorded = unchanged and "run_id" in before and before.get("tracking_uri") == options.tracking_uri
    run = {"run_id": before["run_id"], "tracking_uri": before["tracking_uri"]} if recorded else {}
    write_result(options.folder, result | run)
    shares, entropy = [one["share"] for one in result["false_discovery"].values()], result["entropy"]
    say(
        f"{result['near_duplicates']:,} of {result['thinned_images']:,} images go, {result['kept']:,} stay; "
        f"{result['duplicate_pairs']:,} of {result['candidate_pairs']:,} candidate pairs are duplicates, "
        f"between {min(shares):.2%} and {max(shares):.2%} of them false by estimate"
    )
    say(
        f"radius {result['radius']} of {result['code_bits']} bits; collision entropy at least {entropy['collision_entropy_bits']:.1f} bits, "
        f"{entropy['degrees_of_freedom']:.0f} degrees of freedom; coder {result['coder'][:12]}"
    )
    if result["unreadable"]:
        say(f"{result['unreadable']} images could not be read and are left out; the report names them")
    say(f"keep list {result['keep_list']}\nreport {result['report']}")
    if not recorded:
        run = {"run_id": record(options, result), "tracking_uri": options.tracking_uri}
        write_result(options.folder, result | run)
    return result | run


def record(options: DedupOptions, result: dict[str, Any]) -> str:
    """A finished run with figures and files on the tracking server; returns its id."""
    params = {
        "codes": options.codes,
        "radius": result["radius"],
        "coder": result["coder"],
        "threshold": result["threshold"],
    }
    run = TrackedRun.create(options.tracking_uri, EXPERIMENT, options.folder.name, params, environment_tags())
    figures = {name: value for name, value in result.items() if isinstance(value, int)}
    for flip, found in result["false_discovery"].items():
        figures |= {f"false_discovery/{flip}/{name}": value for name, value in found.items()}
    figures |= {f"entropy/{name}": value for name, value in result["entropy"].items()}
    run.log_metrics({name: float(value) for name, value in figures.items()}, images_seen=result["images"])
    for name in (REPORT_NAME, KEEP_NAME, PAIRS_NAME):
        run.log_artifact(options.folder / name)
    run.log_dict(result, RESULT_NAME)
    run.finish("FINISHED")
    return run.run_id
