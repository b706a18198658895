"""Data-parallel training on 1, 2, ... ranks of this machine, and what that predicts for many GPUs.

Each rank is a process with one thread and gloo. Measured: seconds of a step with and without averaging gradients, bytes
averaged against the theory (all parameters of both networks once), the share of averaging that hides behind the
backward pass, latency and bandwidth of the link. A small model takes these and predicts; its prediction for the ranks
measured here stands beside what was measured.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from dcgan_dist.bench.harness import Benchmark, cores, table, unconditional
from dcgan_dist.bench.ranks import run_ranks
from dcgan_dist.bench.scaling_model import Link, StepModel, predict
from dcgan_dist.config import TrainConfig
from dcgan_dist.errors import require
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.training.engine import memory_format
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.step import adversarial_step


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
    """What is measured, and what is predicted."""

    preset: str = "examples64"
    """An unconditional preset; schedule `both`."""
    ranks: tuple[int, ...] = (1, 2)
    """Numbers of ranks, each with one thread."""
    batch_size: int = 32
    """Global batch of the measured ranks (strong scaling)."""
    steps: int = 3
    """Steps of one turn."""
    turns: int = 3
    """Turns with and without averaging; the median counts."""
    gpu_images_per_second: float = 22_592.0
    """Rate of one GPU that the prediction starts from: lsun64, bfloat16, CUDA graph, batch 128 on one H200, by a program that held
    all images on the GPU; this code has not run there yet."""
    gpu_batch_size: int = 128
    """Rows at which that rate was measured."""
    gpu_fixed_seconds: float = 1.3e-3
    """Part of that step that does not shrink with the rows (from 22,592 images/s at 128 rows and 29,032 at 1024)."""


def measure(options: Options) -> dict[str, Any]:
    """Measure each number of ranks, compare with the model, predict."""
    require(min(options.ranks) >= 1, f"--ranks {options.ranks} must be at least 1")
    base = unconditional(options.preset, options.batch_size)
    measured = {
        n: run_ranks(n, measure_rank, base, options.steps, options.turns)[0] for n in sorted({1, *options.ranks})
    }
    for n, row in measured.items():
        row["predicted_seconds"] = predicted_here(n, measured, options.batch_size)
    return {
        "preset": options.preset,
        "batch_size": options.batch_size,
        "cores": cores(),
        "measured": measured,
        "predicted_gpus": predicted_gpus(options),
    }


def measure_rank(rank: int, world_size: int, config: TrainConfig, steps: int, turns: int) -> dict[str, Any]:
    """What one rank does; all ranks measure together."""
    rows = config.data.batch_size // world_size
    players = build_players(config, world_size=world_size)
    wrapped = [m for m in (players.ddp_generator, players.ddp_real_and_fake) if isinstance(m, DistributedDataParallel)]
    step = _step_of(config, players, rows, world_size)

    def silent() -> None:
        with ExitStack() as stack:
            for module in wrapped:
                stack.enter_context(module.no_sync())
            step()

    step()
    step()
    pairs = [(_seconds(step, steps), _seconds(silent, steps)) for _ in range(turns)]
    with_averaging, without = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    link = measure_link()
    bytes_per_step = _reduced_bytes(wrapped, step)
    alone = link.ring_seconds(world_size, bytes_per_step)
    parameters = sum(
        p.numel() * p.element_size() for n in (players.generator, players.discriminator) for p in n.parameters()
    )
    return {
        "rows_per_rank": rows,
        "seconds": with_averaging,
        "seconds_without_averaging": without,
        "images_per_second": rows * world_size / with_averaging,
        "reduced_bytes": bytes_per_step,
        "theory_bytes": parameters if world_size > 1 else 0,
        "reduction_seconds_alone": alone,
        "overlap_share": min(1.0, max(0.0, 1 - (with_averaging - without) / alone)) if alone else 0.0,
        "bandwidth": link.bytes_per_second,
        "latency": link.latency,
    }


def _step_of(config: TrainConfig, players: Players, rows: int, world_size: int) -> Callable[[], object]:
    shape = (rows, config.model.image_channels, config.model.image_size, config.model.image_size)
    real = torch.rand(shape, generator=seeded(0)).contiguous(memory_format=memory_format(config.engine)) * 2 - 1
    z = draw_latents(config.model, rows, seeded(1))
    return lambda: adversarial_step(players, real, z, row_weight=world_size / config.data.batch_size)


def _reduced_bytes(wrapped: list[DistributedDataParallel], step: Callable[[], object]) -> int:
    """Bytes that one step averages: the sizes of its buckets. The modules are no good for timing afterwards."""
    sizes: list[int] = []

    def hook(_, bucket):  # DDP refuses annotations that are strings, as all are in this file
        # Averaged here and now: a Python callback on a thread of gloo aborts the process that ends at that moment.
        sizes.append(bucket.buffer().numel() * bucket.buffer().element_size())
        dist.all_reduce(bucket.buffer().div_(dist.get_world_size()))
        averaged = torch.futures.Future()
        averaged.set_result(bucket.buffer())
        return averaged

    for module in wrapped:
        module.register_comm_hook(None, hook)
    step()
    return sum(sizes)


def measure_link(large: int = 64 * 2**20) -> Link:
    """Latency and bandwidth that explain the all-reduce of a small and of a large tensor over the present group."""
    n = dist.get_world_size()
    if n == 1:
        return Link(bytes_per_second=float("inf"), latency=0.0)
    small, big = torch.zeros(1), torch.zeros(large // 4)
    times = [_seconds(lambda x=x: dist.all_reduce(x), 5) for x in (small, big)]
    latency = times[0] / (2 * (n - 1))
    return Link(bytes_per_second=2 * (n - 1) / n * large / max(times[1] - times[0], 1e-9), latency=latency)


def _seconds(call: Callable[[], object], times: int) -> float:
    """Mean seconds of a call, when all ranks begin together."""
    call()
    dist.barrier()
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def predicted_here(world_size: int, measured: dict[int, dict[str, Any]], batch_size: int) -> float:
    """Seconds of a step on so many ranks, from steps without averaging, the link, and the overlap seen with the most ranks."""
    silent = {row["rows_per_rank"]: row["seconds_without_averaging"] for row in measured.values()}
    most = measured[max(measured)]
    fixed, per_row = fit_step(silent)
    step = StepModel(
        fixed_seconds=fixed,
        seconds_per_row=per_row,
        reduced_bytes=most["reduced_bytes"],
        overlap_share=most["overlap_share"],
    )
    link = Link(bytes_per_second=measured[world_size]["bandwidth"], latency=measured[world_size]["latency"])
    return step.seconds(batch_size / world_size, link.ring_seconds(world_size, step.reduced_bytes))


def fit_step(seconds: dict[int, float]) -> tuple[float, float]:
    """(fixed seconds, seconds per row) of step times by rows, least squares; neither negative, no fixed ones from one time."""
    if len(seconds) == 1:
        ((rows, time),) = seconds.items()
        return 0.0, time / rows
    slope, fixed = np.polyfit([*seconds], [*seconds.values()], 1)
    return max(0.0, float(fixed)), max(0.0, float(slope))


def predicted_gpus(options: Options) -> dict[str, list[dict[str, float]]]:
    """lsun64 on 1 to 512 GPUs: weak scaling of the measured rows, and strong scaling of a batch of 4096."""
    rows, gpus = options.gpu_batch_size, [1, 8, 64, 512]
    step = StepModel(
        fixed_seconds=options.gpu_fixed_seconds,
        seconds_per_row=1 / options.gpu_images_per_second - options.gpu_fixed_seconds / rows,
        reduced_bytes=4 * (18_885_760 + 17_232_768),
        overlap_share=0.0,  # the pessimistic end: none of it hidden
    )
    return {
        f"weak, {rows} rows per GPU": predict(step, gpus, rows_per_gpu=rows),
        "strong, batch 4096": predict(step, gpus, global_batch=4096),
    }


def render(result: dict[str, Any]) -> str:
    """The figures as text."""
    formats = {"ranks": "d", "s/step": ".3f", "predicted": ".3f", "images/s": ".1f", "MB reduced": ".1f"}
    formats |= {"theory": ".1f", "overlap": ".0%", "GB/s": ".2f"}
    columns = ("seconds", "predicted_seconds", "images_per_second", "reduced_bytes", "theory_bytes", "overlap_share")
    scales = {"reduced_bytes": 1e-6, "theory_bytes": 1e-6, "bandwidth": 1e-9}
    rows = [
        (n, *(row[name] * scales.get(name, 1) for name in (*columns, "bandwidth")))
        for n, row in result["measured"].items()
    ]
    lines = [
        f"{result['preset']}, global batch {result['batch_size']}, one thread per rank, {result['cores']} cores",
        table(formats, rows),
        "predicted for lsun64 on H200 with NVLink inside machines of 8 and 400 Gbit/s between, nothing overlapped:",
    ]
    for name, predictions in result["predicted_gpus"].items():
        rates = ", ".join(f"{p['gpus']}: {p['images_per_second']:,.0f} ({p['efficiency']:.0%})" for p in predictions)
        lines.append(f"  {name}, images/s by GPUs (efficiency): {rates}")
    return "\n".join(lines)
