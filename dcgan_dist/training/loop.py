"""The training loop, for anything that takes steps over batches of tensors.

It knows neither networks nor files nor ranks: what differs between a GAN and an autoencoder, between torchrun and a Ray
cluster, comes in as callables.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")


class NonFiniteError(RuntimeError):
    """A loss or gradient stopped being a number; raised on all ranks with the same words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Means over the steps since the last report and over all ranks."""

    step: int
    """Steps done since the beginning of the run."""
    images_seen: int
    """Real images consumed by all ranks since the beginning of the run."""
    metrics: dict[str, float]
    """Means by name, for example loss/d."""
    images_per_second: float
    """Over all ranks, since the last report."""
    data_wait_share: float
    """Share of the time in which this rank waited for its next batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """When things happen, in steps."""

    first: int
    """Steps already done."""
    last: int
    """Steps of the whole run."""
    report: int
    """Steps between two reports."""
    save: int
    """Steps between two checkpoints."""
    also_save: tuple[int, ...] = ()
    """Further steps after which to save."""

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due after so many steps."""
        return done % self.save == 0 or done == self.last or done in self.also_save

    def reports(self, done: int) -> bool:
        """Whether a report is due after so many steps."""
        return done % self.report == 0 or self.saves(done)


def train(
    step: Callable[[int, Batch], Mapping[str, Tensor]],
    batches: Iterator[Batch],
    intervals: Intervals,
    *,
    batch_size: int,
    synchronise: Callable[[Tensor], Tensor],
    report: Callable[[Report], None],
    save: Callable[[int], None],
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Take steps until the last one, or until any rank wants to stop.

    Args:
        step: (number from 0, batch) -> scalars by name, this rank's shares, still on the device. Nothing here reads
            them before the next report, so that a GPU never waits for the loop.
        batches: this rank's batches from the first step on.
        intervals: the first and last step, and how often to report and to save.
        batch_size: rows of the global batch.
        synchronise: (k,) float64 of this rank -> (ranks, k) of all; called on every rank at the same steps.
        report: gets the means; called on every rank.
        save: gets the number of steps done, after a report, so that what is saved is known to be finite.
        stop: whether this rank wants to stop; all stop together, after a report and a save.

    Returns:
        Steps done.

    Raises:
        NonFiniteError: naming step, rank, metric and value, on all ranks alike.
    """
    done, seen, clock = intervals.first, History(), Stopwatch()
    while done < intervals.last:
        with clock:
            batch = next(batches)
        seen.add(done, step(done, batch))
        done += 1

        if intervals.reports(done):
            metrics, stopping = seen.means(synchronise, stop())
            steps, seconds, waited = seen.steps, *clock.lap()
            seen = History()
            report(
                Report(
                    step=done,
                    images_seen=done * batch_size,
                    metrics=metrics,
                    images_per_second=steps * batch_size / seconds,
                    data_wait_share=waited / seconds,
                )
            )
            if intervals.saves(done) or stopping:
                save(done)
                clock.lap()  # the next rate is that of training alone
            if stopping:
                break
    return done


class History:
    """Scalars of the steps since the last report, on the device, read all at once."""

    def __init__(self) -> None:
        self.steps = 0
        self._values: list[tuple[str, int, Tensor]] = []

    def add(self, step: int, scalars: Mapping[str, Tensor]) -> None:
        """Remember the scalars of one step without reading them."""
        self.steps += 1
        self._values.extend((name, step, value) for name, value in scalars.items())

    def means(self, synchronise: Callable[[Tensor], Tensor], stop: bool) -> tuple[dict[str, float], bool]:
        """Means over steps and ranks by name, and whether any rank wants to stop.

        Raises:
            NonFiniteError: a value is NaN or infinite on some rank.
        """
        local = torch.stack([value.detach().double() for _, _, value in self._values])
        flag = torch.full_like(local[:1], float(stop))
        of_ranks = synchronise(torch.cat([local, flag])).tolist()

        sums: dict[str, list[float]] = {}
        for i, (name, step, _) in enumerate(self._values):
            for rank, values in enumerate(of_ranks):
                if not math.isfinite(values[i]):
                    raise NonFiniteError(f"{name} became {values[i]} in step {step} on rank {rank}")
                sums.setdefault(name, []).append(values[i])
        return {name: sum(v) / len(v) for name, v in sums.items()}, any(values[-1] for values in of_ranks)


class Stopwatch:
    """Time since the last lap, and how much of it was spent inside `with`."""

    def __init__(self) -> None:
        self._began, self._inside = time.perf_counter(), 0.0

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._inside += time.perf_counter() - self._entered

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap and seconds inside; both start anew."""
        now = time.perf_counter()
        lap = max(now - self._began, 1e-9), self._inside
        self._began, self._inside = now, 0.0
        return lap
