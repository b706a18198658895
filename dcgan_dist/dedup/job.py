"""De-duplication from shards to keep list and report: every stage goes on where it stopped."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from dcgan_dist.cli.command_line import print_line
from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.result_file import write_result
from dcgan_dist.data.shards.keep_list import KeepList, write_keep_list
from dcgan_dist.dedup.choice import Choice, keep_lists, removed_by_radius
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.duplicates_page import Findings, build_report
from dcgan_dist.dedup.make_shards import Say
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.plan import describe
from dcgan_dist.dedup.result import KEEP_NAME, PAIRS_NAME, REPORT_NAME, finish, summary, write_pairs_csv
from dcgan_dist.dedup.rewrite import rewrite
from dcgan_dist.dedup.stages import (
    EncodedCorpus,
    VerifiedPairs,
    choose_representatives,
    encode_corpus,
    is_duplicate,
    rounded,
    timed,
    verify_pairs,
)
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.existing_shards import check_alike
from dcgan_dist.tracking.server import check_reachable

CURVE_POINTS = 9


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
    _make_folder(options.folder)

    seconds: dict[str, float] = {}
    encoded = encode_corpus(options, corpus, seconds, say)
    verified = verify_pairs(options, encoded, seconds, say)
    with timed(seconds, "choice"):
        choice = choose_representatives(encoded, verified)
        lists = write_lists(options, encoded, verified, choice)
    findings = findings_of(encoded, verified, choice)
    with timed(seconds, "report"):
        findings = write_report(options, encoded, findings, lists)
    result = finish(options, findings.result | {"seconds": rounded(seconds)}, say)
    if options.rewrite:
        with timed(seconds, "rewrite"):
            result["rewritten"] = rewrite(options, corpus, choice, findings.names, lists)
        write_result(options.folder, result | {"seconds": rounded(seconds)})
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be made ({error.strerror}): choose another folder") from error


def write_lists(
    options: DedupOptions, encoded: EncodedCorpus, verified: VerifiedPairs, choice: Choice
) -> list[KeepList]:
    """Write pairs.csv and the keep lists, one for each data set that is thinned out."""
    names = encoded.names
    lists = keep_lists(
        encoded.corpus,
        choice,
        verified.duplicates,
        keys=encoded.keys,
        names=names,
        faults=encoded.originals.faults,
        radius=encoded.radius,
        rule={"codes": options.codes, "coder": encoded.coder_hash, "threshold": verified.threshold},
    )
    write_pairs_csv(options.folder / PAIRS_NAME, names, verified.pairs, verified.accepted)
    write_keep_list(lists[0] if len(lists) == 1 else lists, options.folder / KEEP_NAME)
    return lists


def findings_of(encoded: EncodedCorpus, verified: VerifiedPairs, choice: Choice) -> Findings:
    """What the report shows, still without the result."""
    threshold = verified.threshold
    return Findings(
        corpus=encoded.corpus,
        names=encoded.names,
        pairs=verified.pairs,
        accepted=verified.accepted,
        choice=choice,
        flips=verified.flips,
        flips_accepted={name: is_duplicate(flip.found, threshold) for name, flip in verified.flips.items()},
        null_distances=encoded.null_distances,
        result={},
        faults=encoded.originals.faults,
        threshold=threshold,
    )


def write_report(options: DedupOptions, encoded: EncodedCorpus, findings: Findings, lists: list[KeepList]) -> Findings:
    """Sum up and write report.html; returns the findings with the result."""
    radii = np.unique(np.linspace(0, encoded.radius, CURVE_POINTS).round().astype(int)).tolist()
    duplicates = findings.pairs.where(findings.accepted)
    removed = removed_by_radius(
        encoded.corpus, duplicates, radii, keys=encoded.keys, resolution=encoded.originals.resolution
    )
    result = summary(options, findings, encoded, lists, list(zip(radii, removed, strict=True)))
    findings = dataclasses.replace(findings, result=result)
    save_page(build_report(findings), options.folder / REPORT_NAME)
    return findings
