"""Images per second of one training step, ours in several ways of computing against the PyTorch examples' loop.

All variants run in turns in one process on the same uint8 images, already on the device; the median of the turns counts.
MFU divides the arithmetic of the step by that of a plain matrix product measured in the same run.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.bench.examples_loop import examples_step
from dcgan_dist.bench.harness import (
    StepBenchmark,
    best_seconds,
    in_turns,
    machine,
    random_images,
    seconds_per_call,
    table,
    unconditional,
)
from dcgan_dist.config import EngineConfig, TrainConfig
from dcgan_dist.models.flops import step_flops_per_image
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.training.engine import WARM_UP, precision, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players

LOOP = "examples' loop"
PLAIN = EngineConfig(precision="float32", channels_last=False, fused_optimizer=False, cuda_graph=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(StepBenchmark):
    """What is measured, and for how long."""

    batch_size: tuple[int, ...] = (64,)
    """Images per step; each is a table of its own."""
    steps: int = 0
    """Steps of one turn; 0: 3 on a CPU, 50 on a GPU."""
    only: str = ""
    """Measure only variants whose name contains this (and the examples' loop)."""
    compile: bool = False
    """Measure torch.compile too; minutes of compiling."""


def engines(device: torch.device, *, compile: bool) -> dict[str, EngineConfig]:
    """Ways of computing by name, each one change further than the one above it."""
    changes = {
        "ours, float32": {},
        "+ TF32": {"precision": "tf32"},
        "+ channels_last": {"channels_last": True},
        "+ fused Adam": {"fused_optimizer": True},
        "+ bfloat16": {"precision": "bfloat16"},
        "+ CUDA graph": {"cuda_graph": True},
        "+ unshuffled images": {"unshuffle_images": True},
        "+ torch.compile": {"compile": True},
        "+ joint batch": {"joint_batch": True},
    }
    absent = {"+ TF32", "+ CUDA graph"} if device.type == "cpu" else set()
    absent |= set() if compile else {"+ torch.compile"}
    ways, engine = {}, PLAIN
    for name, change in changes.items():
        if name not in absent:
            ways[name] = engine = dataclasses.replace(engine, **change)
    return ways


def measure(options: Options) -> list[dict[str, Any]]:
    """Rates of all variants, a table for each batch size."""
    device = options.start()
    return [measure_batch(unconditional(options.preset, size), device, options) for size in options.batch_size]


def measure_batch(base: TrainConfig, device: torch.device, options: Options) -> dict[str, Any]:
    """Rates of all variants at one batch size, in turns."""
    size, images = base.data.batch_size, random_images(base, device)
    variants: dict[str, tuple[TrainConfig, Callable[[], object]]] = {}
    for name, engine in engines(device, compile=options.compile).items():
        if options.only in name:
            config = dataclasses.replace(base, engine=engine)
            variants[name] = config, our_step(config, images, device)
    real = from_uint8(images, base.model.output)
    for name in (LOOP, f"{LOOP}, TF32") if device.type == "cuda" else (LOOP,):
        engine = dataclasses.replace(PLAIN, precision="tf32" if "TF32" in name else "float32")
        body = examples_step(base.model, device)
        variants[name] = dataclasses.replace(base, engine=engine), lambda body=body: body(real)

    steps = options.steps or (50 if device.type == "cuda" else 3)

    def seconds(config: TrainConfig, step: Callable[[], object], calls: int = steps) -> float:
        set_arithmetic(config, device)
        return seconds_per_call(step, device, calls)

    if device.type == "cuda":
        for config, step in variants.values():
            seconds(config, step, WARM_UP + 1)
    medians = in_turns({name: lambda v=variant: seconds(*v) for name, variant in variants.items()}, options.turns)
    ceilings = {kind: product_flops(kind, device) for kind in {precision(c, device) for c, _ in variants.values()}}
    flops = step_flops_per_image(base)
    return {
        "preset": base.preset,
        "schedule": base.schedule,
        "batch_size": size,
        "device": machine(device),
        "threads": torch.get_num_threads(),
        "gflop_per_image": flops / 1e9,
        "turns": options.turns,
        "steps_per_turn": steps,
        "product_tflops": {kind: rate / 1e12 for kind, rate in ceilings.items()},
        "variants": {
            name: {
                "images_per_second": size / median,
                "times_examples": medians[LOOP] / median,
                "tflops": size / median * flops / 1e12,
                "mfu": size / median * flops / ceilings[precision(variants[name][0], device)],
            }
            for name, median in medians.items()
        },
    }


def our_step(config: TrainConfig, images: Tensor, device: torch.device) -> Callable[[], object]:
    """The step of a run of this config on one rank, always on the same images."""
    set_arithmetic(config, device)
    players = build_players(config, device=device)
    step = gan_step(config, players, rows=list(range(len(images))), world_size=1, steps_per_epoch=1_000_000)
    return lambda: step(0, (images, None))


def product_flops(kind: str, device: torch.device) -> float:
    """Operations per second of a square matrix product of this precision, the best of five."""
    side = 8192 if device.type == "cuda" else 1024
    torch.backends.cuda.matmul.allow_tf32 = kind != "float32"
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / best_seconds(lambda: a @ b, device)


def render(tables: list[dict[str, Any]]) -> str:
    """The figures as text."""
    formats = {"variant": "", "images/s": ",.1f", "x examples": ".2f", "TFLOP/s": ".3g", "MFU": ".0%"}
    texts = []
    for result in tables:
        products = ", ".join(f"{kind} {rate:.3g}" for kind, rate in result["product_tflops"].items())
        texts += [
            f"{result['preset']}, batch {result['batch_size']}, schedule {result['schedule']}, {result['device']}, "
            f"{result['threads']} threads; matrix product, TFLOP/s: {products}",
            table(formats, ((name, *row.values()) for name, row in result["variants"].items())),
        ]
    return "\n".join(texts)
