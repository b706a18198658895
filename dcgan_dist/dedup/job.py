"""De-duplication from shards to keep list and report: every stage goes on where it stopped."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.command_line import print_line
from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.result_file import write_result
from dcgan_dist.data.shards.keep_list import write_keep_list
from dcgan_dist.dedup.choice import choose, keep_lists, removed_by_radius
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.duplicates_page import Findings, build_report
from dcgan_dist.dedup.find_pairs import CodedImages, all_pairs, pair_rule
from dcgan_dist.dedup.fit_coder import coder_hash, ready_coder
from dcgan_dist.dedup.groups import components
from dcgan_dist.dedup.make_shards import Say, make_all_codes, make_all_pictures
from dcgan_dist.dedup.null_pairs import (
    MIRROR,
    UPSIDE_DOWN,
    Axis,
    FlipTest,
    flip_test,
    random_distances,
    separating_threshold,
)
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.picture_table import PictureTable
from dcgan_dist.dedup.plan import describe
from dcgan_dist.dedup.result import KEEP_NAME, PAIRS_NAME, REPORT_NAME, finish, summary, write_pairs_csv
from dcgan_dist.dedup.rewrite import rewrite
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.existing_shards import check_alike
from dcgan_dist.similarity.codes import Coder
from dcgan_dist.similarity.radius import default_radius
from dcgan_dist.similarity.verifier import THRESHOLD
from dcgan_dist.tracking.server import check_reachable

CURVE_POINTS = 9
FLIPS: dict[str, Axis] = {"mirror": MIRROR, "upside_down": UPSIDE_DOWN}


def run_dedup(options: DedupOptions, *, say: Say = print_line) -> int:
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
        raise InputError(f"`out` {folder} cannot be made ({error.strerror}): choose another folder") from error
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
        coded = CodedImages(corpus=corpus, codes=codes, usable=usable, table=table)
        pairs = all_pairs(coded, folder, rule, options.cpus, say)
    with timed(seconds, "null"):
        flips = flip_tests(coded, coder, radius, pairs)
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


def flip_tests(images: CodedImages, coder: Coder, radius: int, pairs: ScoredPairs) -> dict[str, FlipTest]:
    """What flipped images find among those that are not related to them at once."""
    near = pairs.where(is_duplicate(pairs, THRESHOLD))
    return {
        name: flip_test(
            images.codes,
            np.flatnonzero(images.usable),
            radius=radius,
            gather=images.table.gather,
            encode=coder.encode,
            related=components(len(images.corpus), near.first, near.second),
            axis=axis,
        )
        for name, axis in FLIPS.items()
    }


def is_duplicate(pairs: ScoredPairs, threshold: float | None) -> NDArray[np.bool_]:
    """Which candidates are duplicates: those that score enough; in the paper's mode, without a threshold, all."""
    return np.ones(len(pairs.first), bool) if threshold is None else pairs.scores >= threshold
