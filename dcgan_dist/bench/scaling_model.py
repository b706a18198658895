"""What a step costs on many GPUs, from the step of one, the bytes reduced, and the links between them.

A reduction of `bytes` over n members of a ring takes 2 (n - 1) / n x bytes / bandwidth + 2 (n - 1) x latency. Inside a machine
the ring runs over the fast link; between machines every GPU of a machine reduces its share over the slow one, which
they all pass together. What overlaps with the backward pass is hidden.

Source of the ring's cost: Patarasu and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A connection that a ring passes through."""

    bytes_per_second: float
    """One direction, of one member."""
    latency: float
    """Seconds of one message."""


NVLINK = Link(bytes_per_second=450e9, latency=3e-6)
"""Of one H100 or H200 to a switch, by the vendor's figure of 900 GB/s for both directions."""
ETHERNET = Link(bytes_per_second=400e9 / 8, latency=20e-6)
"""One 400 Gbit/s port per machine."""
GPUS_PER_MACHINE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredStep:
    """What one rank was seen to do."""

    fixed_seconds: float
    """Of a step with no rows."""
    seconds_per_row: float
    reduced_bytes: float
    """Gradients of both networks, each reduced once per step."""
    overlap_share: float
    """Share of the reduction that is hidden behind the backward pass where there is room, in [0, 1]."""

    def compute_seconds(self, rows: float) -> float:
        """Of one step without any reduction."""
        return self.fixed_seconds + self.seconds_per_row * rows


def fit_step(rows: list[int], seconds: list[float]) -> tuple[float, float]:
    """(fixed seconds, seconds per row) of step times at several batch sizes, least squares; neither negative."""
    slope, fixed = np.polyfit(rows, seconds, 1)
    return max(0.0, float(fixed)), max(0.0, float(slope))


def ring_seconds(members: int, size: float, link: Link) -> float:
    """Of one all-reduce over a ring."""
    if members == 1:
        return 0.0
    return 2 * (members - 1) / members * size / link.bytes_per_second + 2 * (members - 1) * link.latency


def reduction_seconds(gpus: int, size: float, *, inside: Link = NVLINK, between: Link = ETHERNET) -> float:
    """Of one all-reduce over machines of eight GPUs."""
    local = min(gpus, GPUS_PER_MACHINE)
    machines = -(-gpus // GPUS_PER_MACHINE)
    return ring_seconds(local, size, inside) + ring_seconds(machines, size, between)


def step_seconds(step: MeasuredStep, rows: float, reduction: float) -> float:
    """Of one step whose reduction takes so long alone."""
    return step.compute_seconds(rows) + (1 - step.overlap_share) * reduction


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One number of GPUs."""

    gpus: int
    rows_per_gpu: float
    seconds: float
    images_per_second: float
    efficiency: float
    """Images per second over GPUs times those of one."""


def predict(step: MeasuredStep, gpus: list[int], *, global_batch: int = 0, rows_per_gpu: int = 0) -> list[Prediction]:
    """Strong scaling of a global batch, or weak scaling of the rows per GPU; give one of both."""
    if bool(global_batch) == bool(rows_per_gpu):
        raise ValueError("give either global_batch or rows_per_gpu")

    def rows(n: int) -> float:
        return rows_per_gpu or global_batch / n

    alone = rows(1) / step.compute_seconds(rows(1))
    predictions = []
    for n in gpus:
        seconds = step_seconds(step, rows(n), reduction_seconds(n, step.reduced_bytes))
        rate = n * rows(n) / seconds
        predictions.append(
            Prediction(
                gpus=n,
                rows_per_gpu=rows(n),
                seconds=seconds,
                images_per_second=rate,
                efficiency=rate / (n * alone),
            )
        )
    return predictions
