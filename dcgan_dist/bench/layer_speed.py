"""Where the time of a training step goes: every layer, forward and backward, against a product and a copy of the same size.

The bound is what the layer's arithmetic takes at the rate of a large matrix product, or what its tensors take at the rate of
a large copy, whichever is longer; both rates are measured in the same run, so a convolution may beat its bound a little. Layers
run alone, on what they see in a step, as often as a step of schedule `both` runs them. Memory traffic: a convolution reads
both operands and writes the result (parameters count as they are stored); normalisation with activation reads its input twice
and writes once forward, reads twice two tensors and writes one backward.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.bench.step_speed import platform_name, product_flops, turn
from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.config import EngineConfig, TrainConfig, replace
from dcgan_dist.errors import require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.presets import preset
from dcgan_dist.training.engine import WARM_UP, captured, memory_format, precision, set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import Players, build_players

REPEATS = 10
"""Runs of a layer in one measurement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayersBenchmark:
    """What is measured, and for how long."""

    preset: str = "examples64"
    """An unconditional preset."""
    batch_size: int = 64
    """Images per step."""
    engine: EngineConfig = dataclasses.field(default_factory=lambda: EngineConfig(cuda_graph=True))
    """How the step is computed; not compiled and not with joint batches, whose layers are others."""
    device: str = ""
    """cuda or cpu; empty: cuda where there is one."""
    threads: int = 0
    """CPU threads; 0: all cores of this process."""
    turns: int = 5
    """Turns of each layer; the median counts."""
    json: str = ""
    """Also write the figures to this file."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One direction of one layer."""

    name: str
    run: Callable[[], object]
    """For a backward pass the forward pass too: both lie in one CUDA graph."""
    forward: str
    """Name of the pass whose time is taken off; empty: none."""
    flops: float
    moved: float
    """Bytes."""
    per_step: int
    """How often a step runs it."""


def main(argv: list[str]) -> int:
    """Measure every layer and print a table."""
    options = parse(
        LayersBenchmark, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.bench layers"
    )
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = dataclasses.replace(preset(options.preset), schedule="both", engine=options.engine)
    config = replace(config, "data.batch_size", options.batch_size)
    require(config.model.classes == 0, f"--preset {options.preset} needs labels: name an unconditional one")
    require(
        not (options.engine.compile or options.engine.joint_batch),
        "--engine.compile and --engine.joint-batch change what a layer is: measure them with `bench step`",
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    result = measure(config, device, options.turns)
    print(render(result))
    write_json(options.json, result)
    return 0


def measure(config: TrainConfig, device: torch.device, turns: int) -> dict[str, Any]:
    """Seconds of all layers and of the whole step, in turns, and their bounds."""
    set_arithmetic(config, device)
    players, size, model = build_players(config, device=device), config.data.batch_size, config.model
    images = torch.randint(256, (size, model.image_channels, model.image_size, model.image_size), dtype=torch.uint8)
    step = gan_step(config, players, rows=list(range(size)), world_size=1, steps_per_epoch=1_000_000)
    batch = images.to(device), None
    kind = precision(config, device)
    passes = list(_passes(config, players, device))
    runs = {one.name: _repeated(one.run, device) for one in passes} | {"step": lambda: step(0, batch)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(turns + 1):
        for name, run in runs.items():
            first = number == 0 and device.type == "cuda"
            turn(lambda _, run=run: run(), device, WARM_UP + 2 if first else 1)
            seconds[name].append(turn(lambda _, run=run: run(), device, 1) / (REPEATS if name != "step" else 1))
    median = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    alone = {one.name: max(median[one.name] - median.get(one.forward, 0.0), 0.0) for one in passes}
    flops, bandwidth = product_flops(kind, device), copy_bytes(device)
    rows = {
        one.name: {
            "seconds": one.per_step * alone[one.name],
            "flops": one.per_step * one.flops,
            "bound_seconds": one.per_step * max(one.flops / flops, one.moved / bandwidth),
            "bound_by": "arithmetic" if one.flops / flops > one.moved / bandwidth else "memory",
            "per_step": one.per_step,
        }
        for one in passes
    }
    return {
        "preset": config.preset,
        "batch_size": size,
        "device": platform_name(device),
        "threads": torch.get_num_threads(),
        "precision": kind,
        "product_tflops": flops / 1e12,
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "step_seconds": median["step"],
        "layers": rows,
    }


def _repeated(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """REPEATS runs in one go: as one CUDA graph on a GPU, where launching a small layer takes longer than computing it."""

    def many() -> dict[str, Tensor]:
        for _ in range(REPEATS):
            run()
        return {"done": torch.zeros((), device=device)}

    return captured(many, dataclasses.replace(preset("demo32"), engine=EngineConfig(cuda_graph=True)), device)


def _passes(config: TrainConfig, players: Players, device: torch.device) -> Iterator[Pass]:
    model, size = config.model, config.data.batch_size
    layout = memory_format(config.engine)
    z = torch.rand(size, model.latent_dim, device=device) * 2 - 1
    images = torch.rand(size, model.image_channels, model.image_size, model.image_size, device=device) * 2 - 1
    images = images.contiguous(memory_format=layout)
    for network, x in ((players.generator, z), (players.discriminator, images)):
        seen = _inputs(network, x)
        for name, module in network.named_modules():
            if module in seen:
                yield from _of_layer(network, name, module, seen[module].detach(), precision(config, device))


def _inputs(network: nn.Module, x: Tensor) -> dict[nn.Module, Tensor]:
    """What every convolution, dense layer and normalisation of a network sees."""
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: seen.update({module: inputs[0]}))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | BatchNorm)
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return seen


def _of_layer(network: nn.Module, name: str, module: nn.Module, x: Tensor, kind: str) -> Iterator[Pass]:
    """Forward and backward of one layer.

    D runs forward on real, fake and, for G, fake again; backward to kernels and inputs in the first two, to inputs alone
    in the last. Its first layer has no gradient to give to real images.
    """
    in_d, first = isinstance(network, Discriminator), name == "convolutions.0"
    label = f"{'D' if in_d else 'G'} {name}"
    slope = 0.2 if in_d else 0.0

    def forward(x: Tensor) -> Tensor:
        # Rounded kernels are not kept: one that was made for another graph must not be part of a graph.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=kind == "bfloat16", cache_enabled=False):
            return F.leaky_relu(module(x), slope) if isinstance(module, BatchNorm) else module(x)

    x, parameters = x.clone().requires_grad_(), list(module.parameters())
    y = forward(x).detach()
    gradient, flops = torch.randn_like(y), _flops(module, x, y)
    a, w, b = _bytes(x), sum(map(_bytes, parameters)), _bytes(y)
    is_norm = isinstance(module, BatchNorm)

    def direction(suffix: str, *wanted: Tensor, per_step: int) -> Pass:
        many = 1 if is_norm else len(wanted)  # a product for the gradient of each; normalisation gives all in one go
        return Pass(
            name=f"{label} {suffix}",
            run=lambda: torch.autograd.grad(forward(x), wanted, gradient),
            forward=f"{label} forward",
            flops=many * flops,
            moved=many * (3 * a + 2 * b if is_norm else a + w + b),
            per_step=per_step,
        )

    yield Pass(
        name=f"{label} forward",
        run=lambda: forward(x),
        forward="",
        flops=flops,
        moved=2 * a + b if is_norm else a + w + b,
        per_step=3 if in_d else 1,
    )
    if in_d:
        yield direction("backward", *(parameters if first else (x, *parameters)), per_step=2)
        yield direction("backward, frozen", x, per_step=1)
    else:
        yield direction("backward", *(parameters if name == "projection" else (x, *parameters)), per_step=1)


def _flops(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Of a forward pass; 0 for what is bound by memory anyway."""
    if isinstance(module, nn.Linear):
        return 2.0 * len(x) * module.weight.numel()
    if isinstance(module, nn.Conv2d):
        return 2.0 * len(x) * module.weight.numel() * y.shape[2] * y.shape[3]
    if isinstance(module, nn.ConvTranspose2d):
        return 2.0 * len(x) * module.weight.numel() * x.shape[2] * x.shape[3]
    return 0.0


def _bytes(x: Tensor) -> float:
    return float(x.numel() * x.element_size())


def copy_bytes(device: torch.device) -> float:
    """Bytes read and written per second by a large copy, the best of five."""
    source = torch.zeros(2**30 if device.type == "cuda" else 2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / min(turn(lambda _: target.copy_(source), device, 1) for _ in range(6))


def render(result: dict[str, Any]) -> str:
    """The figures as text."""
    step, layers = result["step_seconds"], result["layers"]
    lines = [
        f"{result['preset']}, batch {result['batch_size']}, {result['precision']}, {result['device']}, {result['threads']} "
        f"threads; matrix product {result['product_tflops']:.3g} TFLOP/s, copy {result['copy_gigabytes_per_second']:.3g} GB/s",
        f"{'ms per step':40} {'measured':>9} {'share':>6} {'bound':>9} {'above':>8}  bound by",
    ]
    for name, row in layers.items():
        above = row["seconds"] - row["bound_seconds"]
        lines.append(
            f"{name:40} {row['seconds'] * 1e3:9.3f} {row['seconds'] / step:6.1%} {row['bound_seconds'] * 1e3:9.3f} "
            f"{above * 1e3:8.3f}  {row['bound_by']}"
        )
    total, bound = (sum(row[key] for row in layers.values()) for key in ("seconds", "bound_seconds"))
    lines.append(
        f"{'all layers':40} {total * 1e3:9.3f} {total / step:6.1%} {bound * 1e3:9.3f} {(total - bound) * 1e3:8.3f}"
    )
    lines.append(f"{'whole step':40} {step * 1e3:9.3f} {1:6.0%}")
    return "\n".join(lines)
