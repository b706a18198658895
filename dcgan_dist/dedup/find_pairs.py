"""All pairs of a corpus within the radius, with their scores: searched and verified once, kept for the next time."""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.stage_seconds import StageSeconds, timed
from dcgan_dist.cluster.tasks import map_tasks, run_tasks
from dcgan_dist.dedup.candidates import MOST_PAIRS, CodeSearch, find_candidates
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.flipped_codes import FlippedCodes
from dcgan_dist.dedup.pair_files import (
    PairRule,
    ScoredPairs,
    Search,
    content_names,
    file_name,
    in_order,
    known_pairs,
    missing_search,
    spread_order,
    write_pairs,
)
from dcgan_dist.dedup.shard_files import Damaged, read_npz, write_npz
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.neighbors.hamming import pairs_within
from dcgan_dist.similarity import verifier
from dcgan_dist.similarity.verifier import Axis, score_rows

BLOCK, FLIP_BLOCK = 1 << 15, 1 << 13
"""Pairs that one task verifies, and of flipped images, which are few; what is done stays done."""
STRIPE_SECONDS = 0.5
"""What one thread takes for a stripe of a search; many cores want many."""
ENCODED = 1000
"""Flipped images that one task encodes."""
COUNTED = 1 << 15
"""Images whose pairs are counted to tell how many more images will have; so few are searched at once."""
ALL_ROWS = np.iinfo(np.uint64).max
"""As greatest place in `spread_order`."""
FIRST_VERIFIER = "7de252d03d3cfba20fffbbb3e05b57b914ee2bc89049e6c3bf24711b2d0e69c5"
"""Stands for version 1 of the verifier: the hash of its source, by which pairs were kept before it had versions."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CodedImages:
    """The images that are searched."""

    corpus: Corpus
    codes: NDArray[np.uint8]
    """(n, code_bits / 8) of all rows."""
    usable: NDArray[np.bool_]
    """(n,) rows that could be read."""
    table: ThumbnailTable
    """Their thumbnails."""


def pair_rule(corpus: Corpus, hashes: Sequence[str], coder: str, radius: int) -> PairRule:
    """What the pairs of a corpus depend on; the verifier counts by its version."""
    scored_by = FIRST_VERIFIER if verifier.VERSION == 1 else verifier.VERSION
    return PairRule(names=content_names(corpus, hashes), hash=content_hash([coder, scored_by]), radius=radius)


def flip_rule(rule: PairRule, images: CodedImages, axis: Axis, most: int) -> PairRule:
    """The rule of flipped images: of the usable ones, the first `most` in `spread_order` are searched for."""
    order = spread_order(images.corpus, rule.names)[images.usable]
    queries = int(np.partition(order, most - 1)[most - 1]) if len(order) > most else int(ALL_ROWS)
    return dataclasses.replace(rule, hash=content_hash([rule.hash, axis]), queries=queries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flip:
    """How images are flipped before they are searched for."""

    axis: Axis
    encode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """Thumbnails to codes."""


def all_pairs(
    images: CodedImages, files: Path, rule: PairRule, cpus: int, seconds: StageSeconds, flip: Flip | None = None
) -> ScoredPairs:
    """Every pair within the radius, ascending.

    Args:
        images: that are searched.
        files: folder in which pairs are kept.
        rule: what the pairs depend on.
        cpus: tasks at once.
        seconds: gets what searching and verifying take.
        flip: of the images that the rule makes queries; None: all images are searched as they are.

    Raises:
        InputError: there are more pairs than fit.
    """
    files.mkdir(parents=True, exist_ok=True)
    known, covered, damages = known_pairs(files, images.corpus, rule)
    for damage in damages:
        _log.warning("%s: it is made again", damage)
    search = missing_search(covered)
    if search is None:
        if flip is None:
            _log.info("%s pairs known from before", f"{len(known.first):,}")
        return known
    if search.old and flip is None:
        _log.info("%d new shards are compared with themselves and %d known ones", len(search.new), len(search.old))
    name = file_name(search, rule)
    unfinished = files / f"{name}.part"
    with timed(seconds, "search"):
        if flip is None:
            _check_number(images, search, rule.radius, len(known.first))
            searches, label = _searches(images, search), "search"
        else:
            searches, label = _flipped_searches(images, search, rule, flip, files, cpus), "null"
        first, second, distances = find_candidates(
            searches, rule.radius, unfinished, cpus, label, ordered=flip is None, stripe_seconds=STRIPE_SECONDS
        )
    with timed(seconds, "verify"):
        scores = _scores(first, second, images.table, flip and flip.axis, unfinished, cpus)
        pairs = ScoredPairs(first, second, distances, scores)
        write_pairs(files / f"{name}.npz", images.corpus, search, rule, pairs)
        for done in [path for path in files.glob("*.part") if path.with_suffix(".npz").exists()]:
            shutil.rmtree(done, ignore_errors=True)  # that of an attempt that was killed right here too
        return in_order([known, pairs]) if len(known.first) else pairs


def _check_number(images: CodedImages, search: Search, radius: int, known: int) -> None:
    """Refuse a search that will find more pairs than fit, before it takes its time.

    How many are found is told by those of a random sample of all images; none is drawn where as many as among the known images
    would fit, as duplicates become rarer in a larger set.

    Raises:
        InputError: so many pairs are as good as sure.
    """
    new, old = (len(_rows(images, numbers)) for numbers in search)
    usable, compared = np.flatnonzero(images.usable), new * ((new - 1) / 2 + old)
    if len(usable) <= COUNTED or (old > COUNTED and known * compared <= MOST_PAIRS * old * (old - 1) / 2):
        return
    sample = usable[np.random.default_rng(0).permutation(len(usable))[:COUNTED]]
    found = sum(len(block.first) for block in pairs_within(images.codes[sample], radius))
    per_pair = compared / (COUNTED * (COUNTED - 1) / 2)
    if (found - 3 * found**0.5) * per_pair > MOST_PAIRS:  # three deviations of a Poisson count
        raise InputError(
            f"about {found * per_pair:,.0f} pairs within {radius} bits are to be expected and {MOST_PAIRS:,} fit: "
            "give a smaller `radius`"
        )


def _searches(images: CodedImages, search: Search) -> list[CodeSearch]:
    """What has to be searched for, each pair once."""
    new, old = (_rows(images, numbers) for numbers in search)
    codes = images.codes[new]
    searches = [CodeSearch(queries=new, codes=codes)]
    if len(old):
        searches.append(CodeSearch(queries=new, codes=codes, others=old, other_codes=images.codes[old]))
    return searches


def _flipped_searches(
    images: CodedImages, search: Search, rule: PairRule, flip: Flip, files: Path, cpus: int
) -> list[CodeSearch]:
    """The same for flipped images among all others; codes of these that are not kept yet are made."""
    assert rule.queries is not None, rule
    chosen = images.usable & (spread_order(images.corpus, rule.names) <= rule.queries)
    kept = FlippedCodes(files / "queries" / f"{rule.hash[:16]}.npz", images.corpus, rule.names)
    lacking = kept.lacking(np.flatnonzero(chosen))
    if blocks := [lacking[start : start + ENCODED] for start in range(0, len(lacking), ENCODED)]:
        made = map_tasks(partial(_flipped_codes, images.table, flip), blocks, cpus=cpus)
        kept.add(lacking, np.concatenate(list(made)))
    new, old, both = (_rows(images, numbers) for numbers in (*search, search.new + search.old))
    return [
        CodeSearch(queries=rows, codes=kept.of(rows), others=others, other_codes=images.codes[others])
        for rows, others in ((new[chosen[new]], both), (old[chosen[old]], new))
        if len(rows)
    ]


def _flipped_codes(table: ThumbnailTable, flip: Flip, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return flip.encode(np.flip(table.gather(rows), flip.axis).copy())


def _rows(images: CodedImages, numbers: tuple[int, ...]) -> NDArray[np.int64]:
    """Usable rows of some shards."""
    starts = images.corpus.starts
    rows = [np.arange(starts[number], starts[number + 1]) for number in sorted(numbers)]
    joined = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return joined[images.usable[joined]]


def _scores(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    table: ThumbnailTable,
    axis: Axis | None,
    unfinished: Path,
    cpus: int,
) -> NDArray[np.float32]:
    """Scores of all candidates, block by block; blocks that an earlier attempt scored stay."""
    scores, size = np.zeros(len(first), np.float32), BLOCK if axis is None else FLIP_BLOCK
    waiting = []
    for start in range(0, len(first), size):
        rows = slice(start, start + size)
        try:
            scores[rows] = read_npz(unfinished / f"scores-{start}-{size}.npz")["scores"]
        except FileNotFoundError:
            waiting.append(start)
        except (Damaged, KeyError, ValueError) as error:
            _log.warning("%s: the block is scored again", error)
            waiting.append(start)
    blocks = [(start, first[start : start + size], second[start : start + size]) for start in waiting]
    scored = run_tasks(_score_task, (table, axis), blocks, cpus=cpus)
    with progress_bar(len(first), "pairs" if axis is None else "null", unit="pair") as bar:
        bar.update(len(first) - sum(len(block[1]) for block in blocks))
        for (start, rows, _), block in scored:
            write_npz(unfinished / f"scores-{start}-{size}.npz", scores=block)
            scores[start : start + size] = block
            bar.update(len(rows))
    return scores


def _score_task(
    shared: tuple[ThumbnailTable, Axis | None], block: tuple[int, NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float32]:
    (table, axis), (_, first, second) = shared, block
    return score_rows(first, second, table.gather, flip=axis)
