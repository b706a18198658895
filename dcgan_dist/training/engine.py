"""How a step is computed: precision, memory format, compiled, captured. What is computed is in `step`.

Everything here is applied from outside to networks and functions that know nothing of it, and falls back to plain PyTorch
where a device does not have it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_dist.config import EngineConfig, TrainConfig

WARM_UP = 11
"""Calls before a step is captured: DistributedDataParallel has then settled its buckets, the allocator its blocks."""

Scalars = Callable[..., dict[str, Tensor]]


def precision(config: TrainConfig, device: torch.device) -> str:
    """float32, tf32 or bfloat16: what `auto` means on this device and with these parameters."""
    if config.dtype == "float64" or (device.type == "cpu" and config.engine.precision == "tf32"):
        return "float32"
    if config.engine.precision == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return config.engine.precision


def set_arithmetic(config: TrainConfig, device: torch.device) -> None:
    """Set what PyTorch keeps per process: float32 products on tensor cores, the choice of kernels, determinism."""
    rounded = precision(config, device) != "float32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = rounded
    torch.backends.cudnn.benchmark = not config.deterministic  # shapes never change, so the search is done once
    torch.use_deterministic_algorithms(config.deterministic)


def memory_format(engine: EngineConfig) -> torch.memory_format:
    """Layout in which images and kernels lie in memory."""
    return torch.channels_last if engine.channels_last else torch.contiguous_format


def apply_engine(network: nn.Module, config: TrainConfig, device: torch.device) -> None:
    """Let a network's forward compute in the config's precision, compiled where asked for; in place."""
    if precision(config, device) == "bfloat16":
        # bfloat16 has the range of float32, so no loss is scaled. Nested regions share the outermost's rounded weights.
        network.forward = torch.autocast(device.type, torch.bfloat16)(network.forward)
    if config.engine.compile:
        network.compile()


def captured(function: Scalars, config: TrainConfig, device: torch.device) -> Scalars:
    """A function of tensors as one CUDA graph, or itself on another device."""
    if device.type != "cuda" or not config.engine.cuda_graph:
        return function
    return CapturedFunction(function, device)


class CapturedFunction:
    """A function of tensors of fixed shapes that returns scalars, launched as one CUDA graph.

    Its first calls run as they are, on the stream that captures; then one is recorded and from then on replayed on inputs
    copied into the recorded ones. What it changes (parameters, moments) must stay in place between calls.
    """

    def __init__(self, function: Scalars, device: torch.device) -> None:
        self._function, self._calls = function, 0
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor | None, ...] = ()
        self._names: list[str] = []
        self._outputs: Tensor | None = None

    def __call__(self, *inputs: Tensor | None) -> dict[str, Tensor]:
        """Scalars of this call by name, not overwritten by later ones."""
        self._calls += 1
        if self._graph is None and self._calls <= WARM_UP:
            return self._as_it_is(*inputs)
        if self._graph is None:
            self._capture(*inputs)
        assert self._graph is not None
        assert self._outputs is not None
        for recorded, given in zip(self._inputs, inputs, strict=True):
            if recorded is not None and given is not None:
                recorded.copy_(given, non_blocking=True)
        self._graph.replay()
        return dict(zip(self._names, self._outputs.clone().unbind(), strict=True))

    def _as_it_is(self, *inputs: Tensor | None) -> dict[str, Tensor]:
        present = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            result = self._function(*inputs)
        present.wait_stream(self._stream)
        for tensor in (*inputs, *result.values()):
            if tensor is not None and tensor.is_cuda:
                tensor.record_stream(self._stream)
                tensor.record_stream(present)
        return result

    def _capture(self, *inputs: Tensor | None) -> None:
        self._inputs = tuple(None if x is None else x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        # Other threads copy batches and write checkpoints meanwhile: only this thread's calls are restricted.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = self._function(*self._inputs)
            self._names = list(result)
            self._outputs = torch.stack([value.detach().double() for value in result.values()])
        self._graph = graph


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Change the rate in place, so that a captured step sees it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def adam_arguments(engine: EngineConfig, rate: float, device: torch.device) -> dict[str, Any]:
    """How Adam is to be computed on a device: fused, and with rate and counts there if its step is captured."""
    capturable = device.type == "cuda" and engine.cuda_graph
    return {
        "lr": torch.tensor(rate, device=device) if capturable else rate,
        "fused": engine.fused_optimizer,
        "capturable": capturable,
    }
