"""What a step costs on many GPUs, from the step of one, the bytes reduced, and the links between them.

A reduction of `bytes` over n members of a ring takes 2 (n - 1) / n x bytes / bandwidth + 2 (n - 1) x latency. Inside a machine
the ring runs over the fast link; between machines every GPU of a machine reduces its share over the slow one, which
they all pass together. What overlaps with the backward pass is hidden.

Source of the ring's cost: Patarasu and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 2009.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A connection that a ring passes through: bytes per second in one direction of one member, seconds per message."""

    bytes_per_second: float
    latency: float

    def ring_seconds(self, members: int, size: float) -> float:
        """Seconds of one all-reduce of so many bytes over a ring."""
        if members == 1:
            return 0.0
        return 2 * (members - 1) / members * size / self.bytes_per_second + 2 * (members - 1) * self.latency


NVLINK = Link(bytes_per_second=450e9, latency=3e-6)
"""From one H100 or H200 to a switch, by the vendor's figure of 900 GB/s for both directions."""
ETHERNET = Link(bytes_per_second=400e9 / 8, latency=20e-6)
"""One 400 Gbit/s port per machine."""
GPUS_PER_MACHINE = 8


def reduction_seconds(gpus: int, size: float, *, inside: Link = NVLINK, between: Link = ETHERNET) -> float:
    """Seconds of one all-reduce over machines of eight GPUs."""
    machines = -(-gpus // GPUS_PER_MACHINE)
    return inside.ring_seconds(min(gpus, GPUS_PER_MACHINE), size) + between.ring_seconds(machines, size)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepModel:
    """What one rank was seen to do."""

    fixed_seconds: float
    """Part of a step that does not depend on its rows."""
    seconds_per_row: float
    reduced_bytes: float
    """Gradients of both networks, each reduced once per step."""
    overlap_share: float
    """Share of the reduction that is hidden behind the backward pass where there is room, in [0, 1]."""

    def seconds(self, rows: float, reduction: float = 0.0) -> float:
        """Seconds of one step of so many rows, whose reduction takes so long alone."""
        return self.fixed_seconds + self.seconds_per_row * rows + (1 - self.overlap_share) * reduction


def predict(
    step: StepModel, gpus: list[int], *, global_batch: int = 0, rows_per_gpu: int = 0
) -> list[dict[str, float]]:
    """Strong scaling of a global batch, or weak scaling of the rows per GPU; give one of both.

    Returns:
        For each number of GPUs `gpus`, `rows_per_gpu`, `seconds`, `images_per_second` and `efficiency`: images per second
        over GPUs times those of one.
    """
    if bool(global_batch) == bool(rows_per_gpu):
        raise ValueError("give either global_batch or rows_per_gpu")
    predictions = []
    for n in (1, *gpus):
        rows = rows_per_gpu or global_batch / n
        seconds = step.seconds(rows, reduction_seconds(n, step.reduced_bytes))
        predictions.append(
            {"gpus": n, "rows_per_gpu": rows, "seconds": seconds, "images_per_second": n * rows / seconds}
        )
    alone = predictions[0]["images_per_second"]
    return [row | {"efficiency": row["images_per_second"] / (row["gpus"] * alone)} for row in predictions[1:]]
