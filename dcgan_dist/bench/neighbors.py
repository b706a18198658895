"""Seconds and memory of all pairs within a Hamming radius, against FAISS's flat range search; of equal codes; of L2 search.

Uniform codes, and codes of CIFAR-10's images (128 signs of principal components), drawn with replacement and with every bit
flipped as often as it flips between an image and its copy (half of them JPEG 70, half shifted by a pixel). FAISS is timed on
some queries against the whole database and scaled to all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.bench.harness import Benchmark, Measured, machine
from dcgan_dist.bench.neighbors_codes import cifar10_images, flip_rates, noisy_copies, principal_signs, uniform_codes
from dcgan_dist.neighbors.collisions import equal_codes
from dcgan_dist.neighbors.hamming import pairs_within, plan_pairs
from dcgan_dist.neighbors.nearest import NearestL2
from dcgan_dist.neighbors.pairs import Codes

import faiss  # isort: skip  after torch, so that they share one OpenMP setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
    """What is measured."""

    source: str = ""
    """Folder of CIFAR-10, as prepare_cifar10 reads it; empty: uniform codes only."""
    sizes: tuple[int, ...] = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
    """Numbers of codes."""
    radius: int = 8
    """Bits, inclusive."""
    method: str = "auto"
    """Strategy of the search; auto asks the planner."""
    compared_at: int = 3_000_000
    """Number of codes at which FAISS is timed; 0: not at all."""
    faiss_queries: int = 30_000
    """Queries that FAISS is timed on."""
    collisions: tuple[int, ...] = (3_000_000,)
    """Numbers of codes whose equal ones are found."""
    l2: bool = True
    """Also measure the L2 search."""


def measure(options: Options) -> dict[str, Any]:
    """Measure, and print each row as it comes."""
    result: dict[str, Any] = {
        "machine": f"{machine()}, {torch.get_num_threads()} threads",
        "faiss": faiss.__version__,
        "radius": options.radius,
        "pairs": [],
        "faiss_flat": [],
    }
    for name, make in _kinds(options, result).items():
        for n in options.sizes:
            codes = make(n)
            ours = _show({"codes": name, "n": n} | _search(codes, options))
            result["pairs"].append(ours)
            if n == options.compared_at:
                flat = _faiss(codes, options) | {"codes": name, "n": n}
                flat["times_ours"] = flat["seconds_scaled"] / ours["seconds"]
                # The same on a machine that others use at the same time.
                flat["cpu_times_ours"] = flat["cpu_seconds_scaled"] / max(ours["cpu_seconds"], 1e-9)
                result["faiss_flat"].append(_show(flat))
    result["collisions"] = [_show(_collisions(n)) for n in options.collisions]
    result["l2"] = [_show(row) for row in _l2()] if options.l2 else []
    return result


def render(result: dict[str, Any]) -> str:
    """What the rows that were printed were measured on."""
    return f"{result['machine']}, FAISS {result['faiss']}, radius {result['radius']}"


def _kinds(options: Options, result: dict[str, Any]) -> dict[str, Callable[[int], Codes]]:
    kinds: dict[str, Callable[[int], Codes]] = {"uniform": uniform_codes}
    if options.source:
        images = cifar10_images(options.source)
        encode = principal_signs(images)
        codes, rates = encode(images), flip_rates(images, encode)
        flips = {f"bits flipped, {name}": round(float(rate.sum()), 2) for name, rate in rates.items()}
        result["real"] = _show({"images": len(images)} | flips)
        kinds["real"] = lambda n: noisy_copies(codes, n, rates)
    return kinds


def _search(codes: Codes, options: Options) -> dict[str, Any]:
    """The whole search, planning included; the machine's rates were measured before."""
    plan_pairs(codes[:100_000], options.radius, method=options.method)
    plan = plan_pairs(codes, options.radius, method=options.method)
    with Measured() as measured:
        count = sum(len(pairs.first) for pairs in pairs_within(codes, options.radius, method=options.method))
    return measured.figures | {"found": count, "plan": str(plan)}


def _faiss(codes: Codes, options: Options) -> dict[str, Any]:
    index: Any = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    queries = codes[np.random.default_rng(3).choice(len(codes), min(options.faiss_queries, len(codes)), replace=False)]
    with Measured() as measured:
        for start in range(0, len(queries), 1000):
            index.range_search(queries[start : start + 1000], options.radius + 1)
    scale = len(codes) / len(queries)
    scaled = {"seconds_scaled": measured.seconds * scale, "cpu_seconds_scaled": measured.cpu_seconds * scale}
    return {"FAISS queries": len(queries), "threads": faiss.omp_get_max_threads()} | measured.figures | scaled


def _collisions(n: int) -> dict[str, Any]:
    codes = uniform_codes(n)
    codes[n // 2 :: 2] = codes[: len(codes[n // 2 :: 2])]
    with Measured() as measured:
        groups = int(equal_codes(codes).max()) + 1
    return {"collisions of": n, "groups": groups} | measured.figures


def _l2(queries: int = 4_000, rows: int = 30_000) -> Iterator[dict[str, Any]]:
    """1-NN of pixels: ours on uint8 and float32, and FAISS on the same."""

    def theirs(block: NDArray[Any]) -> None:
        index: Any = faiss.IndexFlatL2(block.shape[1])
        index.add(block)
        index.search(block[:queries], 1)

    def ours(block: NDArray[Any]) -> None:
        NearestL2(block[:queries]).add(block)

    searches = [("ours, uint8", ours, np.uint8), ("ours, float32", ours, np.float32)]
    searches.append(("FAISS IndexFlatL2", theirs, np.float32))
    for dimension in (784, 3072):
        pixels = np.random.default_rng(0).integers(0, 256, (rows, dimension), np.uint8)
        for name, search, dtype in searches:
            block = pixels.astype(dtype)
            with Measured() as measured:
                search(block)
            rate = queries * rows / measured.seconds / 1e6
            yield {"1-NN": name, "dimension": dimension, "million_pairs_per_s": rate} | measured.figures


def _show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row as it comes."""
    figures = (f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print(" | ".join(figures), flush=True)
    return row
