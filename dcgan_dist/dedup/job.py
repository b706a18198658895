"""De-duplication from shards to keep list and report: every stage goes on where it stopped."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.result_file import only_job, write_result
from dcgan_dist.cli.unreadable_csv import write_unreadable_csv
from dcgan_dist.cluster.stage_seconds import StageSeconds, timed
from dcgan_dist.data.shards.keep_list import KeepList, write_keep_list
from dcgan_dist.dedup.corpus import Corpus, open_corpus
from dcgan_dist.dedup.duplicates_page import build_report
from dcgan_dist.dedup.duplicates_pictures import removed_picture
from dcgan_dist.dedup.encode_corpus import EncodedCorpus, encode_corpus
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pairs_csv import PAIRS_NAME, write_pairs_csv
from dcgan_dist.dedup.plan import describe
from dcgan_dist.dedup.representatives import Representatives, choose_representatives, keep_lists
from dcgan_dist.dedup.result import KEEP_NAME, PICTURE_NAME, REPORT_NAME, finish, summary
from dcgan_dist.dedup.verify_pairs import VerifiedPairs, verify_pairs
from dcgan_dist.errors import InputError
from dcgan_dist.files import whole_file
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.existing_shards import ShardSource, check_alike
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.tracking.server import check_reachable

_log = logging.getLogger(__name__)


def run_dedup(options: DedupOptions) -> int:
    """Find near duplicates, choose what stays, and write pairs, keep list, report and result.

    Args:
        options: with absolute paths.

    Returns:
        Exit code 0.

    Raises:
        InputError: something a user can mend.
    """
    seconds = StageSeconds()
    with timed(seconds, "index"):
        corpus = open_corpus(options.shards, options.protect, 1 if options.dry_run else options.cpus)
    if options.dry_run:
        _log.info("%s", describe(options, corpus, options.cpus or len(os.sched_getaffinity(0))))
        return 0
    if options.rewrite:
        check_alike(part.manifest for part in corpus.parts if part.from_shards)
    check_reachable(options.tracking_uri)
    with only_job(options.folder):
        _find_and_write(options, corpus, seconds)
    return 0


def _find_and_write(options: DedupOptions, corpus: Corpus, seconds: StageSeconds) -> None:
    encoded = encode_corpus(options, corpus, seconds)
    verified = verify_pairs(options, encoded, seconds)
    with timed(seconds, "choice"):
        chosen = choose_representatives(encoded.corpus, encoded.keys, encoded.originals, verified.duplicates)
        lists = write_lists(options, encoded, verified, chosen)
    # Tasks make the rows of pairs.csv, so that the page need not wait for them.
    with timed(seconds, "report"), ThreadPoolExecutor(1) as beside:
        path, pairs = options.folder / PAIRS_NAME, verified.pairs
        written = beside.submit(write_pairs_csv, path, encoded.names, pairs, verified.accepted, options.cpus)
        result = summary(options, encoded, verified, chosen, lists)
        save_page(build_report(encoded, verified, chosen, result), options.folder / REPORT_NAME)
        if picture := removed_picture(encoded.corpus, chosen):
            with whole_file(options.folder / PICTURE_NAME) as unfinished:
                unfinished.write_bytes(picture)
        written.result()
    result = finish(options, result | _noted(seconds))
    if options.rewrite:
        with timed(seconds, "rewrite"):
            result["rewritten"] = rewrite(options, corpus, chosen, encoded.names, lists)
        write_result(options.folder, result | _noted(seconds))


def _noted(seconds: StageSeconds) -> dict[str, dict[str, float]]:
    return {
        "seconds": seconds.wall,
        "seconds_in_tasks": seconds.tasks,
        "number_of_tasks": seconds.number_of_tasks,
        "driver_seconds_beside_tasks": seconds.driver_beside_tasks,
    }


def write_lists(
    options: DedupOptions, encoded: EncodedCorpus, verified: VerifiedPairs, chosen: Representatives
) -> list[KeepList]:
    """Write the keep lists, one for each data set that is thinned out, and what could not be read."""
    lists = keep_lists(
        encoded.corpus,
        chosen,
        verified.duplicates,
        keys=encoded.keys,
        names=encoded.names,
        faults=encoded.originals.faults,
        radius=encoded.radius,
        rule={"codes": options.codes, "coder": encoded.coder_hash, "threshold": verified.threshold},
    )
    unreadable = [
        (bytes(encoded.names[row]).decode(), int(encoded.corpus.protected[row]), fault)
        for row, fault in sorted(encoded.originals.faults.items())
    ]
    write_unreadable_csv(options.folder, ("key", "protected", "fault"), unreadable)
    write_keep_list(lists[0] if len(lists) == 1 else lists, options.folder / KEEP_NAME)
    return lists


def rewrite(
    options: DedupOptions, corpus: Corpus, chosen: Representatives, names: NDArray[np.bytes_], lists: list[KeepList]
) -> dict[str, Any]:
    """Write what stays of the thinned data sets, with their other splits, as shards.

    Raises:
        InputError: the folder cannot be written, or holds other shards.
    """
    starts, stays = corpus.part_starts, chosen.stays
    numbers = [number for number, part in enumerate(corpus.parts) if part.from_shards]
    positions = [np.flatnonzero(stays[starts[number] : starts[number + 1]]) for number in numbers]
    manifests = tuple(corpus.parts[number].manifest for number in numbers)
    sizes = {manifest.image_size for manifest in manifests}
    source = ShardSource(
        dataset=manifests[0].dataset,
        image_size=sizes.pop() if len(sizes) == 1 else 0,
        image_channels=manifests[0].image_channels,
        manifests=manifests,
        positions=tuple(positions),
        keys=tuple(names[starts[number] + rows] for number, rows in zip(numbers, positions, strict=True)),
        origin={"keep_lists": [keep_list.hash for keep_list in lists], "radius": lists[0].radius},
    )
    largest = max(max(part.manifest.shard_samples) for part in corpus.parts)
    shards = ShardOptions(out=options.rewrite, layout=manifests[0].layout, shard_samples=largest, cpus=options.cpus)
    try:
        return prepare(source, shards).to_json()
    except InputError as error:
        raise error.renamed(out="rewrite") from error
