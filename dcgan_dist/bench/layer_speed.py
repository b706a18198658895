"""Where the time of a training step goes: every layer, forward and backward, against a product and a copy of the same size.

The bound is what the layer's arithmetic takes at the rate of a large matrix product, or what its tensors take at the rate of
a large copy, whichever is longer; both rates are measured in the same run, so a convolution may beat its bound a little. Layers
run alone, on what they see in a step, as often as a step of schedule `both` runs them. Memory traffic: a convolution reads
both operands and writes the result (parameters count as they are stored); normalisation with activation reads its input twice
and writes once forward, reads twice two tensors and writes one backward.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

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
from dcgan_dist.bench.step_speed import our_step, product_flops
from dcgan_dist.config import EngineConfig, TrainConfig
from dcgan_dist.errors import require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.presets import preset
from dcgan_dist.training.engine import WARM_UP, captured, memory_format, precision, set_arithmetic
from dcgan_dist.training.players import build_players

REPEATS = 10
"""Runs of a layer in one measurement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(StepBenchmark):
    """What is measured, and for how long."""

    batch_size: int = 64
    """Images per step."""
    engine: EngineConfig = dataclasses.field(default_factory=lambda: EngineConfig(cuda_graph=True))
    """How the step is computed; not compiled and not with joint batches, whose layers are others."""


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


def measure(options: Options) -> dict[str, Any]:
    """Seconds of all layers and of the whole step, in turns, and their bounds."""
    require(
        not (options.engine.compile or options.engine.joint_batch),
        "--engine.compile and --engine.joint-batch change what a layer is: measure them with `bench step`",
    )
    device, config = options.start(), unconditional(options.preset, options.batch_size, options.engine)
    set_arithmetic(config, device)
    images = random_images(config, device)
    passes = list(_passes(config, images))
    calls = {layer.name: _repeated(layer.run, device) for layer in passes}
    calls["step"] = our_step(config, images, device)
    if device.type == "cuda":
        for call in calls.values():
            seconds_per_call(call, device, WARM_UP + 1)
    median = in_turns({name: partial(seconds_per_call, call, device) for name, call in calls.items()}, options.turns)
    flops, bandwidth = product_flops(precision(config, device), device), copy_bytes(device)
    layers = {}
    for layer in passes:
        arithmetic, memory = layer.flops / flops, layer.moved / bandwidth
        alone = max(median[layer.name] - median.get(layer.forward, 0.0), 0.0) / REPEATS
        layers[layer.name] = {
            "seconds": layer.per_step * alone,
            "flops": layer.per_step * layer.flops,
            "bound_seconds": layer.per_step * max(arithmetic, memory),
            "bound_by": "arithmetic" if arithmetic > memory else "memory",
            "per_step": layer.per_step,
        }
    return {
        "preset": config.preset,
        "batch_size": options.batch_size,
        "device": machine(device),
        "threads": torch.get_num_threads(),
        "precision": precision(config, device),
        "product_tflops": flops / 1e12,
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "step_seconds": median["step"],
        "layers": layers,
    }


def _repeated(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """REPEATS runs in one go: as one CUDA graph on a GPU, where launching a small layer takes longer than computing it."""

    def many() -> dict[str, Tensor]:
        for _ in range(REPEATS):
            run()
        return {"done": torch.zeros((), device=device)}

    return captured(many, dataclasses.replace(preset("demo32"), engine=EngineConfig(cuda_graph=True)), device)


def _passes(config: TrainConfig, images: Tensor) -> Iterator[Pass]:
    players, device = build_players(config, device=images.device), images.device
    z = torch.rand(len(images), config.model.latent_dim, device=device) * 2 - 1
    real = from_uint8(images, "tanh").contiguous(memory_format=memory_format(config.engine))
    for network, x in ((players.generator, z), (players.discriminator, real)):
        inputs = _inputs(network, x)
        for name, module in network.named_modules():
            if module in inputs:
                yield from _passes_of_layer(network, name, module, inputs[module].detach(), precision(config, device))


def _inputs(network: nn.Module, x: Tensor) -> dict[nn.Module, Tensor]:
    """The input of every convolution, dense layer and normalisation of a network."""
    inputs: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, arguments: inputs.update({module: arguments[0]}))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | BatchNorm)
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return inputs


def _passes_of_layer(network: nn.Module, name: str, module: nn.Module, x: Tensor, kind: str) -> Iterator[Pass]:
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
    with FlopCounterMode(display=False) as counter:
        y = forward(x).detach()
    gradient, flops = torch.randn_like(y), float(counter.get_total_flops())
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


def _bytes(x: Tensor) -> float:
    return float(x.numel() * x.element_size())


def copy_bytes(device: torch.device) -> float:
    """Bytes read and written per second by a large copy, the best of five."""
    source = torch.zeros(2**30 if device.type == "cuda" else 2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / best_seconds(lambda: target.copy_(source), device)


def render(result: dict[str, Any]) -> str:
    """The figures as text."""
    step, layers = result["step_seconds"], result["layers"]
    rows = [(name, row["seconds"], row["bound_seconds"], row["bound_by"]) for name, row in layers.items()]
    rows.append(("all layers", sum(row[1] for row in rows), sum(row[2] for row in rows), ""))
    formats = {"ms per step": "", "measured": ".3f", "share": ".1%", "bound": ".3f", "above": ".3f", "bound by": ""}
    lines = [
        (name, 1e3 * seconds, seconds / step, 1e3 * bound, 1e3 * (seconds - bound), bound_by)
        for name, seconds, bound, bound_by in rows
    ]
    return (
        f"{result['preset']}, batch {result['batch_size']}, {result['precision']}, {result['device']}, {result['threads']} "
        f"threads; matrix product {result['product_tflops']:.3g} TFLOP/s, copy {result['copy_gigabytes_per_second']:.3g} GB/s\n"
        + table(formats, [*lines, ("whole step", 1e3 * step, 1.0)])
    )
