"""Images per second of one training step, ours in several ways of computing against the PyTorch examples' loop.

All variants run in turns in one process on the same uint8 images, already on the device; the median of the turns counts.
MFU divides the arithmetic of the step by that of a plain matrix product measured in the same run.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.bench.examples_loop import examples_step
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.config import EngineConfig, TrainConfig, replace
from dcgan_dist.errors import require
from dcgan_dist.models.ranges import from_uint8
from dcgan_dist.presets import preset
from dcgan_dist.runs.estimate import step_flops_per_image
from dcgan_dist.training.engine import WARM_UP, precision, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBenchmark:
    """What is measured, and for how long."""

    preset: str = "examples64"
    """An unconditional preset; schedule `both` whatever the preset says."""
    batch_size: tuple[int, ...] = (64,)
    """Images per step; each is a table of its own."""
    device: str = ""
    """cuda or cpu; empty: cuda where there is one."""
    threads: int = 0
    """CPU threads; 0: all cores of this process."""
    steps: int = 0
    """Steps of one turn; 0: 3 on a CPU, 50 on a GPU."""
    turns: int = 5
    """Turns of each variant; the median counts."""
    only: str = ""
    """Measure only variants whose name contains this (and the examples' loop)."""
    compile: bool = False
    """Measure torch.compile too; minutes of compiling."""
    json: str = ""
    """Also write the figures to this file."""


Step = Callable[[int], object]

PLAIN = EngineConfig(precision="float32", channels_last=False, fused_optimizer=False, cuda_graph=False)


def engines(device: torch.device, *, compile: bool) -> dict[str, EngineConfig]:
    """Ways of computing by name, each one change further than the one above it."""
    one_by_one = [
        ("ours, float32", {}),
        ("+ TF32", {"precision": "tf32"}),
        ("+ channels_last", {"channels_last": True}),
        ("+ fused Adam", {"fused_optimizer": True}),
        ("+ bfloat16", {"precision": "bfloat16"}),
        ("+ CUDA graph", {"cuda_graph": True}),
        ("+ unshuffled images", {"unshuffle_images": True}),
        ("+ torch.compile", {"compile": True}),
        ("+ joint batch", {"joint_batch": True}),
    ]
    absent = {"+ TF32", "+ CUDA graph"} if device.type == "cpu" else set()
    found: dict[str, EngineConfig] = {}
    engine = PLAIN
    for name, change in one_by_one:
        if name in absent or (name == "+ torch.compile" and not compile):
            continue
        engine = dataclasses.replace(engine, **change)
        found[name] = engine
    return found


def main(argv: list[str]) -> int:
    """Measure every variant at every batch size and print a table of each."""
    options = parse(StepBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench step")
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    base = dataclasses.replace(preset(options.preset), schedule="both")
    require(base.model.classes == 0, f"--preset {options.preset} needs labels: name an unconditional one")
    if options.threads:
        torch.set_num_threads(options.threads)
    tables = [measure(replace(base, "data.batch_size", size), device, options) for size in options.batch_size]
    for table in tables:
        print(render(table))
    write_json(options.json, tables)
    return 0


def measure(base: TrainConfig, device: torch.device, options: StepBenchmark) -> dict[str, Any]:
    """Rates of all variants at one batch size, in turns."""
    size, model = base.data.batch_size, base.model
    images = torch.randint(256, (size, model.image_channels, model.image_size, model.image_size), dtype=torch.uint8)
    images = images.to(device)
    variants: dict[str, tuple[TrainConfig, Step]] = {}
    for name, engine in engines(device, compile=options.compile).items():
        if options.only in name:
            config = dataclasses.replace(base, engine=engine)
            variants[name] = config, _ours(config, images, device)
    real = from_uint8(images, model.output)
    for name in ("examples' loop", "examples' loop, TF32") if device.type == "cuda" else ("examples' loop",):
        engine = dataclasses.replace(PLAIN, precision="tf32" if "TF32" in name else "float32")
        body = examples_step(model, device)
        variants[name] = dataclasses.replace(base, engine=engine), lambda _, body=body: body(real)

    steps = options.steps or (50 if device.type == "cuda" else 3)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(options.turns + 1):
        for name, (config, step) in variants.items():
            set_arithmetic(config, device)
            turn(step, device, WARM_UP + 2 if number == 0 and device.type == "cuda" else 1)
            seconds[name].append(turn(step, device, steps) / steps)
    rates = {name: size / statistics.median(times[1:]) for name, times in seconds.items()}
    ceilings = {kind: product_flops(kind, device) for kind in {precision(c, device) for c, _ in variants.values()}}
    flops = step_flops_per_image(base)
    return {
        "preset": base.preset,
        "schedule": base.schedule,
        "batch_size": size,
        "device": platform_name(device),
        "threads": torch.get_num_threads(),
        "gflop_per_image": flops / 1e9,
        "turns": options.turns,
        "steps_per_turn": steps,
        "product_tflops": {kind: rate / 1e12 for kind, rate in ceilings.items()},
        "variants": {
            name: {
                "images_per_second": rate,
                "times_examples": rate / rates["examples' loop"],
                "tflops": rate * flops / 1e12,
                "mfu": rate * flops / ceilings[precision(variants[name][0], device)],
            }
            for name, rate in rates.items()
        },
    }


def _ours(config: TrainConfig, images: Tensor, device: torch.device) -> Step:
    set_arithmetic(config, device)
    players = build_players(config, device=device)
    step = gan_step(config, players, rows=list(range(len(images))), world_size=1, steps_per_epoch=1_000_000)
    return lambda number: step(number, (images, None))


def turn(step: Step, device: torch.device, steps: int) -> float:
    """Seconds of so many steps, until the device has done them."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    for number in range(steps):
        step(number)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def platform_name(device: torch.device) -> str:
    """What the figures were measured on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"


def product_flops(kind: str, device: torch.device) -> float:
    """Operations per second of a square matrix product of this precision, the best of five."""
    side = 8192 if device.type == "cuda" else 2048
    torch.backends.cuda.matmul.allow_tf32 = kind != "float32"
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / min(turn(lambda _: a @ b, device, 1) for _ in range(6))


def render(table: dict[str, Any]) -> str:
    """The figures of one batch size as text."""
    products = ", ".join(f"{kind} {rate:.3g}" for kind, rate in table["product_tflops"].items())
    lines = [
        f"{table['preset']}, batch {table['batch_size']}, schedule {table['schedule']}, {table['device']}, "
        f"{table['threads']} threads; matrix product, TFLOP/s: {products}",
        f"{'variant':24} {'images/s':>10} {'x examples':>10} {'TFLOP/s':>9} {'MFU':>6}",
    ]
    for name, row in table["variants"].items():
        lines.append(
            f"{name:24} {row['images_per_second']:10,.1f} {row['times_examples']:10.2f} {row['tflops']:9.3g} {row['mfu']:6.0%}"
        )
    return "\n".join(lines)
