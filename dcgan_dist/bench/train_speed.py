"""Images per second from shards to updated networks, against the same step on a batch that is already there.

The difference is what reading, decoding, moving and the loop itself cost. Both are measured in turns in one process.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

from dcgan_dist.bench.harness import StepBenchmark, in_turns, machine, synchronize, unconditional
from dcgan_dist.config import EngineConfig, replace
from dcgan_dist.data.device import to_device
from dcgan_dist.data.stream import Batch
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.runs.plan import RunPlan, plan_run, run_batches
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.engine import WARM_UP, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.loop import Intervals, train
from dcgan_dist.training.players import build_players


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(StepBenchmark):
    """What is measured, and for how long."""

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
    steps: int = 0
    """Steps of one turn; 0: 8 on a CPU, 200 on a GPU."""
    turns: int = 3
    """Turns of each measurement; the median counts."""


def measure(options: Options) -> dict[str, Any]:
    """Rates of the step alone and of all that training does, on drawn rooms where no shards are given."""
    config = unconditional(options.preset, options.batch_size, options.engine)
    config = replace(config, "data.loader_workers", options.loader_workers)
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        if not options.shards:
            source = RoomSource(n=options.n, image_size=config.model.image_size)
            prepare(source, ShardOptions(out=folder, layout=options.layout, cpus=1))
        return measure_plan(plan_run(replace(config, "shards", options.shards or folder)), options)


def measure_plan(plan: RunPlan, options: Options) -> dict[str, Any]:
    """Rates of the step alone and of all that training does, in turns."""
    config, device, size = plan.config, options.start(), options.batch_size
    set_arithmetic(config, device)
    steps = options.steps or (200 if device.type == "cuda" else 8)
    step = gan_step(
        config, build_players(config, device=device), rows=list(range(size)), world_size=1, steps_per_epoch=10**6
    )
    waits: list[float] = []

    def seconds(batches: Iterator[Batch], waits: list[float], steps: int = steps) -> float:
        """Seconds of a step, by the training loop."""
        intervals = Intervals(first=0, last=steps, report=steps, save=steps)
        began = time.perf_counter()
        train(
            step,
            batches,
            intervals,
            batch_size=size,
            synchronise=gather_ranks,
            report=lambda report: waits.append(report.data_wait_share),
            save=lambda done: None,
        )
        synchronize(device)
        return (time.perf_counter() - began) / steps

    with closing(to_device(run_batches(plan), device)) as batches:
        same = repeat(next(batches))
        seconds(same, [], WARM_UP + 2 if device.type == "cuda" else 1)
        turns = {"alone": lambda: seconds(same, []), "whole": lambda: seconds(batches, waits)}
        medians = in_turns(turns, options.turns, uncounted=0)
    return {
        "preset": config.preset,
        "batch_size": size,
        "device": machine(device),
        "layout": plan.manifest.layout,
        "loader_workers": config.data.loader_workers,
        "step_images_per_second": size / medians["alone"],
        "train_images_per_second": size / medians["whole"],
        "ratio": medians["alone"] / medians["whole"],
        "data_wait_share": statistics.median(waits),
    }


def render(result: dict[str, Any]) -> str:
    """The figures in a sentence."""
    return (
        f"{result['preset']}, batch {result['batch_size']}, {result['device']}: step alone "
        f"{result['step_images_per_second']:,.1f} images/s, from {result['layout']} shards "
        f"{result['train_images_per_second']:,.1f} ({result['ratio']:.1%}), data wait {result['data_wait_share']:.1%}"
    )
