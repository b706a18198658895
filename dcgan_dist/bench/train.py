"""Images per second from shards to updated networks, against the same step on a batch that is already there.

The difference is what reading, decoding, moving and the loop itself cost. Both are measured in turns in one process.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dcgan_dist.bench.step_speed import platform_name
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.config import EngineConfig, TrainConfig, replace
from dcgan_dist.data.device import to_device
from dcgan_dist.data.stream import Batch
from dcgan_dist.errors import require
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.presets import preset
from dcgan_dist.runs.plan import RunPlan, plan_run, run_batches
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.engine import WARM_UP, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.loop import Intervals, Report, train
from dcgan_dist.training.players import build_players


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBenchmark:
    """What is measured, and for how long."""

    preset: str = "examples64"
    """An unconditional preset; schedule `both`."""
    batch_size: int = 64
    """Images per step."""
    engine: EngineConfig = dataclasses.field(default_factory=lambda: EngineConfig(cuda_graph=True))
    """How the step is computed."""
    shards: str = ""
    """Shards to read; empty: drawn rooms."""
    n: int = 2048
    """Rooms drawn, where no shards are given."""
    layout: Literal["blocks", "samples"] = "blocks"
    """Form of the drawn shards."""
    loader_workers: int = 0
    """Processes that read."""
    device: str = ""
    """cuda or cpu; empty: cuda where there is one."""
    steps: int = 0
    """Steps of one turn; 0: 8 on a CPU, 200 on a GPU."""
    turns: int = 3
    """Turns of each; the median counts."""
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Measure both and print them."""
    options = parse(
        TrainBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench train"
    )
    base = dataclasses.replace(preset(options.preset), schedule="both", engine=options.engine)
    base = replace(base, "data.batch_size", options.batch_size)
    base = replace(base, "data.loader_workers", options.loader_workers)
    require(base.model.classes == 0, f"--preset {options.preset} needs labels: name an unconditional one")
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        shards = _shards(base, options, Path(folder))
        result = measure(plan_run(replace(base, "shards", shards)), options)
    print(
        f"{result['preset']}, batch {result['batch_size']}, {result['device']}: step alone "
        f"{result['step_images_per_second']:,.1f} images/s, from {result['layout']} shards "
        f"{result['train_images_per_second']:,.1f} ({result['ratio']:.1%}), data wait {result['data_wait_share']:.1%}"
    )
    write_json(options.json, result)
    return 0


def measure(plan: RunPlan, options: TrainBenchmark) -> dict[str, Any]:
    """Rates of the step alone and of the whole way, in turns."""
    config = plan.config
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    set_arithmetic(config, device)
    size = config.data.batch_size
    steps = options.steps or (200 if device.type == "cuda" else 8)
    step = gan_step(
        config, build_players(config, device=device), rows=list(range(size)), world_size=1, steps_per_epoch=10**6
    )
    waits: list[float] = []
    with closing(to_device(run_batches(plan), device)) as batches:
        fixed = next(batches)
        _run(step, _same(fixed), WARM_UP + 2 if device.type == "cuda" else 1, size, device, [])
        alone, whole = [], []
        for _ in range(options.turns):
            alone.append(_run(step, _same(fixed), steps, size, device, []))
            whole.append(_run(step, batches, steps, size, device, waits))
    rates = [size * steps / statistics.median(times) for times in (alone, whole)]
    return {
        "preset": config.preset,
        "batch_size": size,
        "device": platform_name(device),
        "layout": plan.manifest.layout,
        "loader_workers": config.data.loader_workers,
        "step_images_per_second": rates[0],
        "train_images_per_second": rates[1],
        "ratio": rates[1] / rates[0],
        "data_wait_share": statistics.median(waits),
    }


def _same(batch: Batch) -> Iterator[Batch]:
    while True:
        yield batch


def _run(step: Any, batches: Iterator[Batch], steps: int, size: int, device: torch.device, waits: list[float]) -> float:
    """Seconds of so many steps through the training loop."""

    def report(seen: Report) -> None:
        waits.append(seen.data_wait_share)

    intervals = Intervals(first=0, last=steps, report=steps, save=steps)
    began = time.perf_counter()
    train(step, batches, intervals, batch_size=size, synchronise=gather_ranks, report=report, save=lambda done: None)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _shards(config: TrainConfig, options: TrainBenchmark, folder: Path) -> str:
    if options.shards:
        return options.shards
    source = RoomSource(n=options.n, image_size=config.model.image_size)
    prepare(source, ShardOptions(out=str(folder), layout=options.layout))
    return str(folder)
