"""Images per second of our shards against other readers of the same images, and against the floor of any reader.

Every reader gives shuffled batches of uint8 images; all are measured in one run, in turns, and the median of the turns
counts. `per process` divides by the loader processes (by one where the training process reads itself).
"""

import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan_dist.bench import data_peers
from dcgan_dist.bench.harness import Benchmark, cpu_seconds, in_turns, machine, table
from dcgan_dist.data.shard_plan import ShardPlan, default_streams
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Layout, Manifest
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare

Batches = Iterator[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
    """What is measured, and for how long."""

    source: tuple[str, ...] = ()
    """Folders or tars of photographs; empty: drawn rooms."""
    n: int = 8192
    """Rooms drawn, where no source is given."""
    image_size: int = 64
    """Pixels per side."""
    batch_size: int = 128
    """Images per batch."""
    loader_workers: tuple[int, ...] = (0, 1, 2)
    """Numbers of loader processes to measure with."""
    seconds: float = 2.0
    """Length of one turn."""
    turns: int = 3
    """Turns of each reader; the median counts."""
    only: str = ""
    """Measure only readers whose name contains this."""


def measure(options: Options) -> dict[str, Any]:
    """Prepare the same images in every form and measure every reader."""
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        shards = {layout: _prepare(options, Path(folder), layout) for layout in ("samples", "blocks")}
        readers = {key: open for key, open in _readers(options, Path(folder), shards) if options.only in key[0]}
        turns = {key: lambda open=open: _turn(open, options) for key, open in readers.items()}
        rates = in_turns(turns, options.turns, uncounted=0)
        peaks = _peak_memory(shards["blocks"], options.image_size)
    rows = [
        {
            "reader": reader,
            "loader_workers": loader_workers,
            "images_per_s": rate,
            "per_process": rate / max(1, loader_workers),
            "cpu_us_per_image": cpu_microseconds,
        }
        for (reader, loader_workers), (rate, cpu_microseconds) in rates.items()
    ]
    return {
        "rows": rows,
        "image_size": options.image_size,
        "batch_size": options.batch_size,
        "turns": options.turns,
        "seconds": options.seconds,
        "machine": f"{machine()}, {torch.get_num_threads()} torch threads",
        "numpy": np.__version__,
        "memory_mb": {"after 1 epoch": peaks[0], "after 10 epochs": peaks[-1]},
    }


def _readers(
    options: Options, folder: Path, shards: dict[str, Manifest]
) -> Iterator[tuple[tuple[str, int], Callable[[], Batches]]]:
    """(Name, loader processes) of every reader, and what opens it."""
    samples, size = shards["samples"], options.batch_size
    images = data_peers.image_folder(samples, folder / "folder")
    streaming = data_peers.streaming_dataset(samples, folder / "mds", size)
    peers: dict[str, Callable[[], Any]] = {
        "webdataset as its README": lambda: data_peers.webdataset(samples, "rgb"),
        "webdataset, uint8": lambda: data_peers.webdataset(samples),
        "ImageFolder": lambda: images,
    } | ({} if streaming is None else {"mosaicml-streaming": lambda: streaming})
    for name, layout in (("ours, JPEG", "samples"), ("ours, blocks", "blocks")):
        for n in options.loader_workers:
            yield (name, n), lambda layout=layout, n=n: _ours(shards[layout], size, options.image_size, n)
    for name, make in peers.items():
        for n in options.loader_workers:
            yield (name, n), lambda make=make, n=n: data_peers.loader(make(), size, n)
    jpegs = list(islice(data_peers.jpeg_members(samples), samples.shards[0].samples))
    yield ("floor: libjpeg alone", 0), lambda: data_peers.decode_alone(jpegs, size)
    yield ("floor: read and copy", 0), lambda: data_peers.read_and_copy(shards["blocks"], size, options.image_size)


def _prepare(options: Options, folder: Path, layout: Layout) -> Manifest:
    source = (
        FolderSource(paths=options.source, image_size=options.image_size)
        if options.source
        else RoomSource(n=options.n, image_size=options.image_size)
    )
    prepare(source, ShardOptions(out=str(folder / layout), layout=layout, shard_samples=1024, cpus=1))
    return load_manifest(str(folder / layout))


def _ours(manifest: Manifest, batch_size: int, image_size: int, loader_workers: int) -> Batches:
    plan = ShardPlan(shard_samples=manifest.shard_samples, batch_size=batch_size, streams=default_streams(batch_size))
    reading: dict[str, Any] = {"image_size": image_size, "loader_workers": loader_workers, "prefetch": 4}
    return stream_batches(manifest, plan, rank=0, world_size=1, **reading)


def _turn(open_batches: Callable[[], Batches], options: Options) -> tuple[float, float]:
    """Images per second, and microseconds of processor time of all processes per image, which are steadier than rates on
    a busy machine; after a start of ten batches, which pays for processes and caches."""
    with closing(open_batches()) as batches:  # type: ignore[type-var]
        for _ in range(10):
            next(batches)
        images, start, cpu = 0, time.perf_counter(), cpu_seconds()
        while (elapsed := time.perf_counter() - start) < options.seconds:
            next(batches)
            images += options.batch_size
        return images / elapsed, (cpu_seconds() - cpu) / images * 1e6


def _peak_memory(manifest: Manifest, image_size: int) -> list[float]:
    """Highest resident memory of this process so far in MB, after each of ten epochs of block shards."""
    peaks = []
    with closing(_ours(manifest, 64, image_size, 0)) as batches:  # type: ignore[type-var]
        for _ in range(10):
            deque(islice(batches, manifest.samples // 64), maxlen=0)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return peaks


def render(result: dict[str, Any]) -> str:
    """The figures as a table."""
    formats = {"reader": "", "loader processes": "", "images/s": ",.0f", "per process": ",.0f", "CPU us/image": ".1f"}
    memory = result["memory_mb"]
    return (
        table(formats, (row.values() for row in result["rows"])) + f"\npeak memory {memory['after 1 epoch']:.0f} MB "
        f"after 1 epoch, {memory['after 10 epochs']:.0f} MB after 10"
    )
