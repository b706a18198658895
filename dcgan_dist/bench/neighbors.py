"""Seconds and memory of all pairs within a Hamming radius, against FAISS's flat range search; of equal codes; of L2 search.

Uniform codes, and codes of CIFAR-10's images (128 signs of principal components), drawn with replacement and with every bit
flipped as often as it flips between an image and its copy (half of them JPEG 70, half shifted by a pixel). FAISS is timed on
some queries against the whole database and scaled to all.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import faiss  # isort: skip  torch first: they then share one OpenMP setting

from dcgan_dist.bench.neighbors_codes import cifar10_images, flip_rates, noisy_copies, pca_sign, uniform_codes
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.neighbors.collisions import equal_codes
from dcgan_dist.neighbors.hamming import pairs_within, plan_pairs
from dcgan_dist.neighbors.nearest import NearestL2
from dcgan_dist.neighbors.pairs import Codes


@dataclass(frozen=True, kw_only=True, slots=True)
class NeighborsBenchmark:
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
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Measure, print, write."""
    options = parse(
        NeighborsBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench neighbors"
    )
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "faiss": faiss.__version__,
        "radius": options.radius,
        "pairs": [],
        "faiss_flat": [],
    }
    for name, make in _kinds(options, result).items():
        for n in options.sizes:
            codes = make(n)
            result["pairs"].append(_show({"codes": name, "n": n} | _search(codes, options)))
            if n == options.compared_at:
                flat = _faiss(codes, options) | {"codes": name, "n": n}
                ours = result["pairs"][-1]
                flat["times_ours"] = flat["seconds_scaled"] / ours["seconds"]
                # The same on a machine that others use at the same time.
                flat["cpu_times_ours"] = flat["cpu_seconds_scaled"] / ours["cpu_seconds"]
                result["faiss_flat"].append(_show(flat))
    result["collisions"] = [_show(_collisions(n)) for n in options.collisions]
    result["l2"] = [_show(row) for row in _l2()] if options.l2 else []
    write_json(options.json, result)
    return 0


def _kinds(options: NeighborsBenchmark, result: dict[str, Any]) -> dict[str, Callable[[int], Codes]]:
    kinds: dict[str, Callable[[int], Codes]] = {"uniform": uniform_codes}
    if options.source:
        images = cifar10_images(options.source)
        encode = pca_sign(images)
        codes, rates = encode(images), flip_rates(images, encode)
        flips = {f"bits flipped, {name}": round(float(rate.sum()), 2) for name, rate in rates.items()}
        result["real"] = _show({"images": len(images)} | flips)
        kinds["real"] = lambda n: noisy_copies(codes, n, rates)
    return kinds


def _search(codes: Codes, options: NeighborsBenchmark) -> dict[str, Any]:
    """The whole search, planning included; the machine's rates were measured before."""
    plan_pairs(codes[:100_000], options.radius, method=options.method)
    plan = plan_pairs(codes, options.radius, method=options.method)
    with _Measured() as measured:
        found = sum(len(pairs.first) for pairs in pairs_within(codes, options.radius, method=options.method))
    return _figures(measured) | {"found": found, "plan": str(plan)}


def _faiss(codes: Codes, options: NeighborsBenchmark) -> dict[str, Any]:
    index: Any = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    queries = codes[np.random.default_rng(3).choice(len(codes), min(options.faiss_queries, len(codes)), replace=False)]
    with _Measured() as measured:
        for start in range(0, len(queries), 1000):
            index.range_search(queries[start : start + 1000], options.radius + 1)
    scale = len(codes) / len(queries)
    scaled = {"seconds_scaled": measured.seconds * scale, "cpu_seconds_scaled": measured.cpu_seconds * scale}
    return {"FAISS queries": len(queries), "threads": faiss.omp_get_max_threads()} | _figures(measured) | scaled


def _collisions(n: int) -> dict[str, Any]:
    codes = uniform_codes(n)
    codes[n // 2 :: 2] = codes[: len(codes[n // 2 :: 2])]
    with _Measured() as measured:
        groups = int(equal_codes(codes).max()) + 1
    return {"collisions of": n, "groups": groups} | _figures(measured)


def _l2(queries: int = 4_000, rows: int = 30_000) -> list[dict[str, Any]]:
    """1-NN of pixels: ours on uint8 and float32, and FAISS on the same."""
    measured = []
    for dimension in (784, 3072):
        database = np.random.default_rng(0).integers(0, 256, (rows, dimension), np.uint8)
        for dtype in (np.uint8, np.float32):
            block = database.astype(dtype)
            with _Measured() as ours:
                NearestL2(block[:queries]).add(block)
            measured.append(_l2_row(f"ours, {np.dtype(dtype)}", dimension, queries * rows, ours))
        flat: Any = faiss.IndexFlatL2(dimension)
        with _Measured() as theirs:
            flat.add(block)
            flat.search(block[:queries], 1)
        measured.append(_l2_row("FAISS IndexFlatL2", dimension, queries * rows, theirs))
    return measured


def _l2_row(name: str, dimension: int, pairs: int, measured: _Measured) -> dict[str, Any]:
    rate = {"million_pairs_per_s": pairs / measured.seconds / 1e6}
    return {"1-NN": name, "dimension": dimension} | rate | _figures(measured)


def _figures(measured: _Measured) -> dict[str, float]:
    return {"seconds": measured.seconds, "cpu_seconds": measured.cpu_seconds, "memory_mb": measured.memory_mb}


class _Measured:
    """Seconds, processor seconds of all threads, and memory that a block of code took at most beyond what there was."""

    def __enter__(self) -> _Measured:
        if (reset := Path("/proc/self/clear_refs")).exists():
            reset.write_text("5")  # the peak counts from here on
        self.before_mb = _memory_mb("VmRSS")
        self.start, self.cpu_start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start
        self.cpu_seconds = time.process_time() - self.cpu_start
        self.memory_mb = _memory_mb("VmHWM") - self.before_mb


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def _show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row as it comes."""
    figures = (f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print(" | ".join(figures), flush=True)
    return row
