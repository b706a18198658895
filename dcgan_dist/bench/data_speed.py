"""Images per second of our shards against other readers of the same images, and against the floor of any reader.

Every reader gives shuffled batches of uint8 images; all are measured in one run, in turns, and the median of the turns
counts. `per process` divides by the loader processes (by one where the training process reads itself).
"""

from __future__ import annotations

import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from dcgan_dist.bench import data_peers
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.data.shard_plan import ShardPlan, default_streams
from dcgan_dist.data.shards.index import decode_index, index_name
from dcgan_dist.data.shards.manifest import Manifest, load_manifest
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare

Batches = Iterator[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataBenchmark:
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
    json: str = ""
    """Also write the figures to this file."""


@dataclass(kw_only=True, slots=True)
class Measured:
    """One reader with one number of loader processes."""

    reader: str
    loader_workers: int
    open: Callable[[], Batches] = field(repr=False)
    rates: list[float] = field(default_factory=list)
    cpu_microseconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images per second, the median of the turns."""
        return statistics.median(self.rates)

    @property
    def cpu_per_image(self) -> float:
        """Microseconds of processor time per image, of all processes; steadier than rates on a busy machine."""
        return statistics.median(self.cpu_microseconds)

    @property
    def per_process(self) -> float:
        """Images per second and process that reads."""
        return self.rate / max(1, self.loader_workers)


def main(argv: list[str]) -> int:
    """Prepare the same images in every form, measure every reader, print the table."""
    options = parse(DataBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench data")
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        readers = [one for one in _readers(options, Path(folder)) if options.only in one.reader]
        for _ in range(options.turns):
            for one in readers:
                _measure(one, options)
        result = _result(options, readers) | {"memory_mb": _memory_over_epochs(options, Path(folder))}
    print(_table(result))
    write_json(options.json, result)
    return 0


def _readers(options: DataBenchmark, folder: Path) -> list[Measured]:
    size, batch_size = options.image_size, options.batch_size
    shards = {layout: _prepare(options, folder, layout) for layout in ("samples", "blocks")}
    images = data_peers.export_folder(shards["samples"], folder / "folder")
    readers = []

    def add(name: str, loader_workers: int, open_batches: Callable[[], Batches]) -> None:
        readers.append(Measured(reader=name, loader_workers=loader_workers, open=open_batches))

    def add_peer(name: str, make: Callable[[], Any]) -> None:
        for n in options.loader_workers:
            add(name, n, lambda n=n: _forever(data_peers.loader(make(), batch_size, n)))

    for layout, name in (("samples", "ours, JPEG"), ("blocks", "ours, blocks")):
        for n in options.loader_workers:
            add(name, n, lambda n=n, layout=layout: _ours(shards[layout], options, n))
    add_peer("webdataset as its README", lambda: data_peers.webdataset_readme(shards["samples"]))
    add_peer("webdataset, uint8", lambda: data_peers.webdataset_uint8(shards["samples"]))
    for n in options.loader_workers:
        add("ImageFolder", n, lambda n=n: _forever(data_peers.image_folder(images, batch_size, n)))
    if (streaming := data_peers.streaming_shards(shards["samples"], folder / "mds")) is not None:
        add_peer("mosaicml-streaming", lambda: data_peers.streaming_dataset(streaming, batch_size))
    add("floor: libjpeg alone", 0, lambda: data_peers.decode_alone(_jpegs(shards["samples"]), batch_size))
    add("floor: read and copy", 0, lambda: data_peers.read_and_copy(shards["blocks"], batch_size, size))
    return readers


def _prepare(options: DataBenchmark, folder: Path, layout: Any) -> Manifest:
    source = (
        FolderSource(paths=options.source, image_size=options.image_size)
        if options.source
        else RoomSource(n=options.n, image_size=options.image_size)
    )
    prepare(source, ShardOptions(out=str(folder / layout), layout=layout, shard_samples=1024))
    return load_manifest(str(folder / layout))


def _ours(manifest: Manifest, options: DataBenchmark, loader_workers: int) -> Batches:
    plan = ShardPlan(
        shard_samples=manifest.shard_samples,
        batch_size=options.batch_size,
        streams=default_streams(options.batch_size),
    )
    return stream_batches(
        manifest,
        plan,
        rank=0,
        world_size=1,
        image_size=options.image_size,
        loader_workers=loader_workers,
        prefetch=4,
    )


def _forever(loader: Any) -> Batches:
    while True:
        yield from loader


def _measure(one: Measured, options: DataBenchmark) -> None:
    """One turn, after a start of ten batches, which pays for processes and caches."""
    with closing(one.open()) as batches:  # type: ignore[type-var]
        for _ in range(10):
            next(batches)
        images, start, cpu = 0, time.perf_counter(), _cpu_seconds()
        while (elapsed := time.perf_counter() - start) < options.seconds:
            next(batches)
            images += options.batch_size
        one.cpu_microseconds.append((_cpu_seconds() - cpu) / images * 1e6)
    one.rates.append(images / elapsed)


def _cpu_seconds() -> float:
    """Processor time of this process and those it started, so far; ended ones too."""
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]
    return sum(one.user + one.system for one in times) + times[0].children_user + times[0].children_system


def _jpegs(manifest: Manifest) -> list[bytes]:
    shard = Path(manifest.location) / manifest.shards[0].name
    index = decode_index(shard.with_name(index_name(shard.name)).read_bytes(), shard.name)
    data = shard.read_bytes()
    return [data[a : a + n] for a, n in zip(index.offsets.tolist(), index.sizes.tolist(), strict=True)]


def _memory_over_epochs(options: DataBenchmark, folder: Path) -> dict[str, float]:
    """Highest resident memory of this process after the first and the tenth epoch of block shards."""
    manifest = load_manifest(str(folder / "blocks"))
    peaks = {}
    with closing(_ours(manifest, replace(options, batch_size=64), 0)) as batches:  # type: ignore[type-var]
        for epoch in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
            for _ in range(manifest.samples // 64):
                next(batches)
            peaks[f"epoch {epoch}"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"after 1 epoch": peaks["epoch 1"], "after 10 epochs": peaks["epoch 10"]}


def _result(options: DataBenchmark, readers: list[Measured]) -> dict[str, Any]:
    rows = [
        {
            "reader": one.reader,
            "loader_workers": one.loader_workers,
            "images_per_s": one.rate,
            "per_process": one.per_process,
            "cpu_us_per_image": one.cpu_per_image,
        }
        for one in readers
    ]
    return {
        "rows": rows,
        "image_size": options.image_size,
        "batch_size": options.batch_size,
        "turns": options.turns,
        "seconds": options.seconds,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} torch threads",
        "numpy": np.__version__,
    }


def _table(result: dict[str, Any]) -> str:
    lines = [f"{'reader':28s}{'loader processes':>18s}{'images/s':>12s}{'per process':>13s}{'CPU us/image':>14s}"]
    for row in result["rows"]:
        figures = f"{row['loader_workers']:>18d}{row['images_per_s']:>12,.0f}{row['per_process']:>13,.0f}{row['cpu_us_per_image']:>14.1f}"
        lines.append(f"{row['reader']:28s}{figures}")
    memory = result["memory_mb"]
    lines.append(
        f"peak memory {memory['after 1 epoch']:.0f} MB after 1 epoch, {memory['after 10 epochs']:.0f} MB after 10"
    )
    return "\n".join(lines)
