"""Which way of searching costs least, from rates of this machine and a sample of the codes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np
import torch

from dcgan_dist.errors import require
from dcgan_dist.neighbors import rates
from dcgan_dist.neighbors.faiss_search import faiss, flat_pairs, gpu_pairs, hash_pairs, hash_shape
from dcgan_dist.neighbors.matrix_products import product_pairs
from dcgan_dist.neighbors.native import library
from dcgan_dist.neighbors.native_search import Shared, block_pairs, tile_pairs
from dcgan_dist.neighbors.pairs import Codes
from dcgan_dist.neighbors.pigeonhole import Blocks, agreeing_share, choose_blocks

SAMPLE = 1 << 15  # codes that a plan looks at
_MOST_AGREEING = 4
_MOST_CHOICES = 20_000
_SHORT = 0.2  # seconds: a longer search is worth the look at a sample


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """How a search will be done, and what it is expected to cost."""

    method: str
    """Name of the strategy, one of METHODS."""
    seconds: float
    """Predicted from rates measured on this machine."""
    candidates: float
    """Pairs of codes that will be compared."""
    blocks: Blocks | None = None
    """(radius + agreeing blocks, code_bits) bool: the bits of each block, for `blocks`."""
    agree: int = 0
    """Blocks in which the codes of a candidate agree."""

    def __str__(self) -> str:
        """One line for a log."""
        shape = f", {self.agree} of {len(self.blocks)} blocks agree" if self.blocks is not None else ""
        return f"{self.method}{shape}: {self.candidates:.3g} comparisons, about {self.seconds:.2g} s"


def plan_search(n: int, m: int, code_bits: int, radius: int, sample: Codes, method: str = "auto") -> SearchPlan:
    """Choose the cheapest way, or plan the one that is named, to find all pairs within the radius, of n codes and m others.

    Without others (m 0) the codes are searched among themselves. The sample (s, code_bits / 8) is drawn at random from all
    codes, as real codes are skewed.

    Raises:
        InputError: an unknown method, or one that cannot be used here.
    """
    require(method in ("auto", *METHODS), f"no method {method!r}: name auto or one of {', '.join(METHODS)}")
    require(
        method in ("auto", *usable_methods()),
        f"method {method} needs what is not here: use one of {', '.join(usable_methods())}",
    )
    require(
        method not in ("blocks", "faiss_hash") or radius < code_bits,
        f"method {method} needs a radius below the {code_bits} bits of a code, not {radius}",
    )
    if len(sample) < 2:
        return SearchPlan(method=method if method != "auto" else usable_methods()[0], seconds=0.0, candidates=0.0)
    task = _Task(n, m, code_bits, radius, sample)
    if method != "auto":
        return min(_PLANNERS[method](task), key=attrgetter("seconds"))
    best = SearchPlan(method="", seconds=math.inf, candidates=0)
    for name in _worth_planning():
        if best.seconds < _SHORT:
            break
        best = min([best, *_PLANNERS[name](replace(task, enough=best.seconds))], key=attrgetter("seconds"))
    return best


def carry_out(plan: SearchPlan, codes: Codes, others: Codes | None, radius: int) -> Iterator[Shared]:
    """Search as planned."""
    if plan.blocks is not None:
        return block_pairs(codes, others, radius, plan.blocks)
    if plan.method == "product":
        return product_pairs(codes, others, radius, "cuda" if torch.cuda.is_available() else "cpu")
    searches = {"tiles": tile_pairs, "faiss_hash": hash_pairs, "faiss_flat": flat_pairs, "faiss_gpu": gpu_pairs}
    return searches[plan.method](codes, others, radius)


@dataclass(frozen=True)
class _Task:
    n: int
    m: int
    code_bits: int
    radius: int
    sample: Codes
    enough: float = math.inf
    """Seconds of a plan that is there already; one that must take longer need not be worked out."""

    @property
    def words(self) -> int:
        return -(-self.code_bits // 64)

    @property
    def pairs(self) -> float:
        return self.n * self.m if self.m else self.n * (self.n - 1) / 2

    @property
    def ordered_pairs(self) -> float:
        return self.n * (self.m or self.n)


def _plan_blocks(task: _Task) -> Iterator[SearchPlan]:
    """Plans for more and more agreeing blocks, until sorting alone costs more than the best one so far."""
    per_sort, compare, per_hit = rates.block_rates(task.words)
    near = None
    best = math.inf
    for agree in range(1, _MOST_AGREEING + 1):
        count = task.radius + agree
        choices = math.comb(count, agree)
        sorting = choices * (task.n + task.m) * per_sort
        if count > task.code_bits or (agree > 1 and (choices > _MOST_CHOICES or sorting > best)):
            return
        # However skewed, two random codes agree in k bits with a probability of at least 2^-k.
        least = choices * 2.0 ** (-agree * task.code_bits / count) * task.pairs * compare
        if sorting + least >= task.enough:
            continue
        blocks = choose_blocks(task.sample, count)
        candidates = agreeing_share(task.sample, blocks, agree) * task.pairs
        near = near or _NearPairs(task)
        seconds = sorting + candidates * compare + near.hits(blocks, agree) * per_hit
        best = min(best, seconds)
        yield SearchPlan(method="blocks", seconds=seconds, candidates=candidates, blocks=blocks, agree=agree)


class _NearPairs:
    """Pairs of the sample within the radius: each is found once for every choice of blocks in which it agrees."""

    def __init__(self, task: _Task, codes: int = 1 << 12, most: int = 1 << 12) -> None:
        sample = task.sample[:codes]
        pairs = [pairs for _, pairs in tile_pairs(sample, None, task.radius)]
        first, second = (np.concatenate([block[side] for block in pairs]) for side in (0, 1))
        drawn = np.random.default_rng(0).permutation(len(first))[:most]
        self.differing = np.unpackbits(sample[first[drawn]] ^ sample[second[drawn]], axis=1)
        self.weight = len(first) / max(1, len(drawn)) * task.pairs / (len(sample) * (len(sample) - 1) / 2)

    def hits(self, blocks: Blocks, agree: int) -> float:
        """Expected number of times that the pairs of all codes turn up in the buckets of a search."""
        agreeing = (self.differing.astype(np.int32) @ blocks.T.astype(np.int32) == 0).sum(1)
        return self.weight * sum(math.comb(int(a), agree) for a in agreeing)


def _plan_all_pairs(
    method: str, rate: Callable[[int], float], pairs_of: Callable[[_Task], float], task: _Task
) -> Iterator[SearchPlan]:
    """The plan of a method that compares all pairs, each of them at a rate that depends on the words of a code."""
    pairs = pairs_of(task)
    yield SearchPlan(method=method, seconds=pairs * rate(task.words), candidates=pairs)


def _plan_hash(task: _Task) -> Iterator[SearchPlan]:
    if task.radius >= task.code_bits:
        return
    hashes, flips = hash_shape(task.code_bits, task.radius)
    bits = task.code_bits // hashes
    blocks = np.zeros((hashes, task.code_bits), bool)
    for number in range(hashes):
        blocks[number, number * bits : (number + 1) * bits] = True
    probes = sum(math.comb(bits, k) for k in range(flips + 1))
    candidates = probes * agreeing_share(task.sample, blocks, 1) * task.ordered_pairs
    per_hash, per_code = rates.hash_rates(task.words)
    seconds = per_hash * hashes * probes * task.n + per_code * candidates
    yield SearchPlan(method="faiss_hash", seconds=seconds, candidates=candidates)


# Those that cost nothing to plan come first: a search that is short by one of them is not planned any further.
_PLANNERS: dict[str, Callable[[_Task], Iterator[SearchPlan]]] = {
    "tiles": partial(_plan_all_pairs, "tiles", rates.compare_rate, attrgetter("pairs")),
    "faiss_flat": partial(_plan_all_pairs, "faiss_flat", rates.flat_rate, attrgetter("ordered_pairs")),
    "product": partial(_plan_all_pairs, "product", rates.product_rate, attrgetter("pairs")),
    "faiss_gpu": partial(_plan_all_pairs, "faiss_gpu", rates.gpu_rate, attrgetter("ordered_pairs")),
    "blocks": _plan_blocks,
    "faiss_hash": _plan_hash,
}
METHODS = tuple(_PLANNERS)
ON_GPU = frozenset({"product", "faiss_gpu"})
"""Methods that are worth their time on a GPU alone."""


def usable_methods() -> tuple[str, ...]:
    """Methods that may be asked for here, the slow ones too."""
    native, gpu = library() is not None, faiss.get_num_gpus() > 0
    missing = set() if native else {"tiles", "blocks"}
    return tuple(name for name in METHODS if name not in missing and (gpu or name != "faiss_gpu"))


def _worth_planning() -> list[str]:
    """Methods that can be the best here: FAISS on the CPU where nothing was built, products only on a GPU."""
    slower = {"faiss_flat", "faiss_hash"} if library() else set()
    if not torch.cuda.is_available():
        slower.add("product")
    return [name for name in usable_methods() if name not in slower]
