"""All pairs of codes within a Hamming radius."""

import logging
from collections.abc import Callable, Iterator

import numpy as np

from dcgan_dist.errors import require
from dcgan_dist.neighbors.pairs import Codes, Pairs, check_codes
from dcgan_dist.neighbors.planner import SAMPLE, SearchPlan, carry_out, plan_search

log = logging.getLogger(__name__)


def pairs_within(
    codes: Codes,
    radius: int,
    *,
    others: Codes | None = None,
    method: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Iterator[Pairs]:
    """Find every pair of codes at most `radius` bits apart, each once, in blocks.

    A block holds at most about a million pairs, or, from FAISS or a GPU, all pairs of a few hundred or thousand codes.
    The set of pairs never depends on the method. Their order is the same for the same codes, method and number of threads,
    but `auto` may choose differently on a busier machine: sort where the order counts.

    Args:
        codes: (n, b) uint8.
        radius: bits, inclusive.
        others: (m, b) uint8: pairs of a row of `codes` and a row of `others`, instead of pairs i < j of `codes`.
        method: one of `planner.METHODS`; `auto` takes the one that the planner expects to be the fastest.
        progress: called with the share of the work done, 0 to 1.

    Raises:
        InputError: codes of another type or of two widths, a negative radius, a method that is unknown or not usable here.
    """
    codes, others = _check(codes, radius, others)
    # Checked when called, not when the first pair is asked for.
    plan = plan_pairs(codes, radius, others=others, method=method)
    return _search(plan, codes, radius, others, progress)


def plan_pairs(codes: Codes, radius: int, *, others: Codes | None = None, method: str = "auto") -> SearchPlan:
    """The plan by which `pairs_within` searches, with the cost it expects; arguments and errors as there."""
    codes, others = _check(codes, radius, others)
    n, m = len(codes), 0 if others is None else len(others)
    rng = np.random.default_rng(0)
    drawn = rng.choice(n + m, min(SAMPLE, n + m), replace=False, shuffle=True)
    sample = codes[drawn[drawn < n]]
    if others is not None:
        sample = rng.permutation(np.concatenate([sample, others[drawn[drawn >= n] - n]]))
    return plan_search(n, m, 8 * codes.shape[1], radius, sample, method)


def _check(codes: Codes, radius: int, others: Codes | None) -> tuple[Codes, Codes | None]:
    require(radius >= 0, f"radius {radius} must not be negative")
    codes = check_codes(codes)
    if others is not None:
        others = check_codes(others, "others")
        require(codes.shape[1] == others.shape[1], f"codes have {codes.shape[1]} bytes and others {others.shape[1]}")
        require(
            len(codes) + len(others) < 2**32, "codes and others have 2^32 rows or more together: search them in parts"
        )
    return codes, others


def _search(
    plan: SearchPlan, codes: Codes, radius: int, others: Codes | None, progress: Callable[[float], None] | None
) -> Iterator[Pairs]:
    if len(codes) < 1 + (others is None) or (others is not None and not len(others)):
        return
    log.debug("%s", plan)
    done = 0.0
    for share, pairs in carry_out(plan, codes, others, radius):
        if len(pairs.first):
            yield pairs
        done += share
        if progress:
            progress(min(1.0, done))
