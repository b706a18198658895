"""Candidates: all pairs of codes within the radius, searched in stripes of rows, each a task; what an attempt found stays."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.dedup.shard_files import Damaged, read_npz, write_npz
from dcgan_dist.errors import InputError
from dcgan_dist.neighbors.hamming import pairs_within, plan_pairs
from dcgan_dist.neighbors.planner import ON_GPU, SearchPlan, usable_methods

MOST_PAIRS = 200_000_000

Candidates = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int16]]
"""Rows of both ends, and their distances in bits."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CodeSearch:
    """Some codes that are searched for among themselves or among others."""

    queries: NDArray[np.int64]
    """(q,) rows of the corpus, ascending."""
    codes: NDArray[np.uint8]
    """(q, code_bits / 8) of the queries."""
    others: NDArray[np.int64] | None = None
    """(m,) rows of the corpus that are searched among; None: the queries, each pair once."""
    other_codes: NDArray[np.uint8] | None = None
    """(m, code_bits / 8)"""


class Stripe(NamedTuple):
    """A part of a search: some of its queries, with about the same number of pairs as every other part."""

    search: int
    """Place of the search in its list."""
    number: int
    count: int

    @property
    def file(self) -> str:
        """Name of the file that keeps what was found."""
        return f"stripe-{self.search}-{self.number}-{self.count}.npz"

    def cut(self, search: CodeSearch) -> tuple[int, int]:
        """First query, and the one after the last; among themselves a query meets only those after it."""
        places = np.array([self.number, self.number + 1]) / self.count
        if search.others is None:
            places = 1 - np.sqrt(1 - places)
        begin, end = np.round(places * len(search.queries)).astype(int).tolist()
        return begin, end


def find_candidates(
    searches: list[CodeSearch],
    radius: int,
    unfinished: Path,
    cpus: int,
    name: str,
    *,
    ordered: bool,
    stripe_seconds: float,
) -> Candidates:
    """All pairs within the radius, ascending.

    Args:
        searches: that together find each pair once.
        radius: bits, inclusive.
        unfinished: folder for the pairs of each stripe; those that lie there are not searched for again.
        cpus: tasks at once, as in `run_tasks`.
        name: of the progress bar.
        ordered: whether first is the smaller row; else it is the query.
        stripe_seconds: what one thread takes for a stripe, about: that much an interruption costs.

    Raises:
        InputError: there are more pairs than fit.
    """
    plans = [plan_pairs(search.codes, radius, others=search.other_codes) for search in searches]
    methods = [plan.method for plan in plans]
    stripes = [
        stripe for number, plan in enumerate(plans) for stripe in _stripes(number, plan, unfinished, stripe_seconds)
    ]
    found = {stripe: pairs for stripe in stripes if (pairs := _known(unfinished / stripe.file))}
    waiting = [stripe for stripe in stripes if stripe not in found]
    if ON_GPU & set(methods):
        cpus = 1  # the GPU is this machine's; tasks on CPUs would be slow, or all use it at once
    searched = run_tasks(_search_stripe, (searches, methods, radius, ordered, unfinished), waiting, cpus=cpus)
    with progress_bar(len(stripes), name, unit="stripe") as bar:
        bar.update(len(found))
        for stripe, pairs in searched:
            found[stripe] = pairs
            bar.update(1)
            if sum(len(rows) for rows, _, _ in found.values()) > MOST_PAIRS:
                raise InputError(f"more than {MOST_PAIRS:,} pairs within {radius} bits: give a smaller `radius`")
    return _ascending([found[stripe] for stripe in stripes], each_ascending=True)


def _stripes(number: int, plan: SearchPlan, unfinished: Path, stripe_seconds: float) -> list[Stripe]:
    """The stripes of an earlier attempt; else so many that each takes so long."""
    earlier = [int(path.stem.split("-")[3]) for path in unfinished.glob(f"stripe-{number}-*.npz")]
    count = earlier[0] if earlier else max(1, math.ceil(plan.seconds * torch.get_num_threads() / stripe_seconds))
    return [Stripe(number, stripe, count) for stripe in range(count)]


def _known(path: Path) -> Candidates | None:
    try:
        arrays = read_npz(path)
        return arrays["first"], arrays["second"], arrays["distances"]
    except FileNotFoundError:
        return None
    except (Damaged, KeyError) as error:
        _log.warning("%s: this stripe is searched again", error)
        return None


def _search_stripe(shared: tuple[list[CodeSearch], list[str], int, bool, Path], stripe: Stripe) -> Candidates:
    """Search, and write what was found where the next attempt looks for it."""
    searches, methods, radius, ordered, unfinished = shared
    search, method = searches[stripe.search], methods[stripe.search]
    if method not in usable_methods():
        method = "auto"  # no compiler on this node, for example: any method finds the same pairs
    begin, end = stripe.cut(search)
    codes, queries = search.codes[begin:end], search.queries[begin:end]
    if search.others is None:
        sides = [(None, queries), (search.codes[end:], search.queries[end:])]
    else:
        sides = [(search.other_codes, search.others)]
    blocks: list[Candidates] = []
    for others, rows in sides:
        for block in pairs_within(codes, radius, others=others, method=method):
            first, second = queries[block.first], rows[block.second]
            if ordered:
                first, second = np.minimum(first, second), np.maximum(first, second)
            blocks.append((first, second, block.distances.astype(np.int16)))
    first, second, distances = found = _ascending(blocks)
    write_npz(unfinished / stripe.file, first=first, second=second, distances=distances)
    return found


def _ascending(blocks: list[Candidates], *, each_ascending: bool = False) -> Candidates:
    """Blocks as one; rows are below 2^31, so that a pair is one number to sort by, and sorted runs are only merged."""
    nothing = np.zeros(0, np.int64)
    first, second, distances = (
        np.concatenate(columns) for columns in zip((nothing, nothing, nothing.astype(np.int16)), *blocks, strict=True)
    )
    lengths = [len(rows) for rows, _, _ in blocks if len(rows)]
    ends = np.cumsum(lengths)
    borders = [first[at] << 32 | second[at] for at in (ends[:-1] - 1, ends[:-1])]
    if each_ascending and (borders[0] < borders[1]).all():  # stripes of images among themselves lie one after the other
        return first, second, distances
    order = np.argsort(first << 32 | second, kind="stable")
    return first[order], second[order], distances[order]
