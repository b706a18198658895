"""Data-parallel training on 1, 2, ... ranks of this machine, and what that predicts for many GPUs.

Each rank is a process with one thread and gloo. Measured: seconds of a step with and without averaging gradients, bytes
averaged against the theory (all parameters of both networks once), the share of averaging that hides behind the
backward pass, latency and bandwidth of the link. A small model takes these and predicts; its prediction for the ranks
measured here stands beside what was measured.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.nn.parallel import DistributedDataParallel

from dcgan_dist.bench.scaling_model import (
    Link,
    MeasuredStep,
    Prediction,
    fit_step,
    predict,
    ring_seconds,
    step_seconds,
)
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.errors import require
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.presets import preset
from dcgan_dist.training.distributed import leave_group
from dcgan_dist.training.engine import memory_format
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.step import adversarial_step


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingBenchmark:
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
    json: str = ""
    """Also write the figures to this file."""


def main(argv: list[str]) -> int:
    """Measure, compare with the model, predict."""
    options = parse(
        ScalingBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench scaling"
    )
    base = dataclasses.replace(preset(options.preset), schedule="both")
    base = replace(base, "data.batch_size", options.batch_size)
    require(base.model.classes == 0, f"--preset {options.preset} needs labels: name an unconditional one")
    require(min(options.ranks) >= 1, f"--ranks {options.ranks} must be at least 1")
    measured = {n: run_ranks(n, base, options) for n in sorted({1, *options.ranks})}
    result = {
        "preset": options.preset,
        "batch_size": options.batch_size,
        "cores": len(os.sched_getaffinity(0)),
        "measured": measured,
        "predicted_gpus": predicted_gpus(options),
    }
    for n, row in measured.items():
        row["predicted_seconds"] = predicted_here(n, measured, options.batch_size)
    print(render(result))
    write_json(options.json, result)
    return 0


def run_ranks(world_size: int, config: TrainConfig, options: ScalingBenchmark) -> dict[str, Any]:
    """Figures of rank 0 of so many processes."""
    with tempfile.TemporaryDirectory(prefix="bench-scaling-") as folder:
        torch.multiprocessing.spawn(_enter, (world_size, folder, config, options), nprocs=world_size)
        return json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))


def _enter(rank: int, world_size: int, folder: str, config: TrainConfig, options: ScalingBenchmark) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(f"{folder}/store", world_size), rank=rank, world_size=world_size
    )
    try:
        result = measure_rank(config, options)
        if rank == 0:
            (Path(folder) / "result.json").write_text(json.dumps(result), encoding="utf-8")
    finally:
        leave_group()


def measure_rank(config: TrainConfig, options: ScalingBenchmark) -> dict[str, Any]:
    """What one rank of the present group does; all ranks measure together."""
    world_size = dist.get_world_size()
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
    times: dict[str, list[float]] = {"averaging": [], "silent": []}
    for _ in range(options.turns):
        times["averaging"].append(_seconds(step, options.steps))
        times["silent"].append(_seconds(silent, options.steps))
    with_averaging, without = (statistics.median(times[name]) for name in ("averaging", "silent"))
    link = measure_link()
    bytes_per_step = _reduced_bytes(wrapped, step)
    alone = ring_seconds(world_size, bytes_per_step, link)
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
    """Of one call, when all ranks begin together."""
    call()
    dist.barrier()
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def predicted_here(world_size: int, measured: dict[int, dict[str, Any]], batch_size: int) -> float:
    """Seconds of a step on so many ranks, from steps without averaging, the link, and the overlap seen with the most ranks."""
    silent = {row["rows_per_rank"]: row["seconds_without_averaging"] for row in measured.values()}
    fixed, per_row = (
        fit_step(list(silent), list(silent.values())) if len(silent) > 1 else (0.0, silent[batch_size] / batch_size)
    )
    most = measured[max(measured)]
    step = MeasuredStep(
        fixed_seconds=fixed,
        seconds_per_row=per_row,
        reduced_bytes=most["reduced_bytes"],
        overlap_share=most["overlap_share"],
    )
    link = Link(bytes_per_second=measured[world_size]["bandwidth"], latency=measured[world_size]["latency"])
    return step_seconds(step, batch_size / world_size, ring_seconds(world_size, step.reduced_bytes, link))


def predicted_gpus(options: ScalingBenchmark) -> dict[str, list[dict[str, Any]]]:
    """lsun64 on 1 to 512 GPUs: weak scaling of the measured rows, and strong scaling of a batch of 4096."""
    seconds = options.gpu_batch_size / options.gpu_images_per_second
    step = MeasuredStep(
        fixed_seconds=options.gpu_fixed_seconds,
        seconds_per_row=(seconds - options.gpu_fixed_seconds) / options.gpu_batch_size,
        reduced_bytes=4 * (18_885_760 + 17_232_768),
        overlap_share=0.0,  # the pessimistic end: none of it hidden
    )
    gpus = [1, 8, 64, 512]

    def rows(predictions: list[Prediction]) -> list[dict[str, Any]]:
        return [dataclasses.asdict(one) for one in predictions]

    return {
        f"weak, {options.gpu_batch_size} rows per GPU": rows(predict(step, gpus, rows_per_gpu=options.gpu_batch_size)),
        "strong, batch 4096": rows(predict(step, gpus, global_batch=4096)),
    }


def render(result: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [
        f"{result['preset']}, global batch {result['batch_size']}, one thread per rank, {result['cores']} cores",
        f"{'ranks':>5} {'s/step':>8} {'predicted':>9} {'images/s':>9} {'MB reduced':>10} {'theory':>8} {'overlap':>8} {'GB/s':>6}",
    ]
    for n, row in result["measured"].items():
        lines.append(
            f"{n:5} {row['seconds']:8.3f} {row['predicted_seconds']:9.3f} {row['images_per_second']:9.1f} "
            f"{row['reduced_bytes'] / 1e6:10.1f} {row['theory_bytes'] / 1e6:8.1f} {row['overlap_share']:8.0%} "
            f"{row['bandwidth'] / 1e9:6.2f}"
        )
    lines.append(
        "predicted for lsun64 on H200 with NVLink inside machines of 8 and 400 Gbit/s between, nothing overlapped:"
    )
    for name, predictions in result["predicted_gpus"].items():
        of_gpus = ", ".join(f"{p['gpus']}: {p['images_per_second']:,.0f} ({p['efficiency']:.0%})" for p in predictions)
        lines.append(f"  {name}, images/s by GPUs (efficiency): {of_gpus}")
    return "\n".join(lines)
