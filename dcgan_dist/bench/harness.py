"""What all benchmarks share: options, measuring in turns, and tables of figures."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import psutil
import torch

from dcgan_dist.config import EngineConfig, TrainConfig, replace
from dcgan_dist.errors import require
from dcgan_dist.presets import preset

Name = TypeVar("Name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """Options of every benchmark."""

    json: str = ""
    """Also write the figures to this file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBenchmark(Benchmark):
    """Options of the benchmarks of training steps."""

    preset: str = "examples64"
    """An unconditional preset; schedule `both` whatever the preset says."""
    device: str = ""
    """cuda or cpu; empty: cuda where there is one."""
    threads: int = 0
    """CPU threads; 0: all cores of this process."""
    turns: int = 5
    """Turns of each measurement; the median counts."""

    def start(self) -> torch.device:
        """Set the number of threads; returns the device."""
        if self.threads:
            torch.set_num_threads(self.threads)
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def unconditional(name: str, batch_size: int, engine: EngineConfig | None = None) -> TrainConfig:
    """A preset with schedule `both`, a batch size and perhaps another engine."""
    config = preset(name)
    require(config.model.classes == 0, f"--preset {name} needs labels: name an unconditional one")
    config = dataclasses.replace(config, schedule="both", engine=engine or config.engine)
    return replace(config, "data.batch_size", batch_size)


def random_images(config: TrainConfig, device: torch.device) -> torch.Tensor:
    """A batch of uint8 noise (b, c, s, s) in the shape of a run's images."""
    model = config.model
    shape = (config.data.batch_size, model.image_channels, model.image_size, model.image_size)
    return torch.randint(256, shape, dtype=torch.uint8).to(device)


def in_turns(measurements: Mapping[Name, Callable[[], Any]], turns: int, *, uncounted: int = 1) -> dict[Name, Any]:
    """Medians of numbers, or of sequences of them, measured in turns, so that what slows the machine slows all
    of them.
    """
    figures: dict[Name, list[Any]] = {name: [] for name in measurements}
    for _ in range(uncounted + turns):
        for name, measure in measurements.items():
            figures[name].append(measure())
    return {name: np.median(values[uncounted:], axis=0).tolist() for name, values in figures.items()}


def seconds_per_call(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Mean seconds of so many calls, until the device has finished them; one call before them is not counted."""
    began = 0.0
    for number in range(calls + 1):
        if number == 1:
            synchronize(device)
            began = time.perf_counter()
        call()
    synchronize(device)
    return (time.perf_counter() - began) / calls


def best_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Least seconds of six calls, or of fewer where they take more than five seconds together."""
    times: list[float] = []
    while len(times) < 6 and sum(times) < 5:
        began = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Measured:
    """Seconds, processor seconds of all threads and child processes, and how much memory a block of code took at most
    beyond what was in use before it (MB; NaN where the system has no /proc)."""

    seconds = cpu_seconds = memory_mb = 0.0

    def __enter__(self) -> Self:
        if (reset := Path("/proc/self/clear_refs")).exists():
            reset.write_text("5")  # the peak counts from here on
        self._start = time.perf_counter(), cpu_seconds(), _memory_mb("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        end = time.perf_counter(), cpu_seconds(), _memory_mb("VmHWM")
        self.seconds, self.cpu_seconds, self.memory_mb = (b - a for a, b in zip(self._start, end, strict=True))

    @property
    def figures(self) -> dict[str, float]:
        """All three by name."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "memory_mb": self.memory_mb}


def cpu_seconds() -> float:
    """Processor time of this process and of those it started, so far; ended ones too."""
    process = psutil.Process()
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def machine(device: torch.device | None = None) -> str:
    """Name of what the figures were measured on: the GPU, or the processor."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def table(formats: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows of values below their names with the columns' formats, the first aligned to the left; rows may end early."""
    cells = [[*formats]]
    cells += [[format(value, form) for value, form in zip(row, formats.values(), strict=False)] for row in rows]
    widths = [max(len(row[i]) for row in cells if i < len(row)) for i in range(len(formats))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False))]
        )
        for row in cells
    )
