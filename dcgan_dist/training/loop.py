"""The training loop, for anything that takes steps over batches of tensors.

It knows neither networks nor files nor ranks: what differs between a GAN and an autoencoder, between torchrun and a Ray
cluster, comes in as callables.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")

LOOK_EVERY_SECONDS = 2.0


class NonFiniteError(RuntimeError):
    """A loss or gradient became NaN or infinite; raised on all ranks with the same message."""


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
    stop: Callable[[int], bool] = lambda done: False,
    history: History | None = None,
) -> int:
    """Take steps until the last one, or until any rank wants to stop.

    Ranks exchange their values at every report and at least every few seconds: then NaN and a wish to stop are found.

    Args:
        step: (number from 0, batch) -> scalars by name, this rank's shares, still on the device until the next exchange.
        batches: this rank's batches from the first step on.
        intervals: the first and last step, and how often to report and to save.
        batch_size: rows of the global batch.
        synchronise: (k,) float64 of this rank -> (ranks, k) of all; called on every rank at the same steps.
        report: gets the means; called on every rank.
        save: gets the number of steps done; what is saved is known to be finite.
        stop: gets the number of steps done, returns whether this rank wants to stop; all stop together, after a save.
        history: scalars since the last report, also those of a run that this one resumes.

    Returns:
        Steps done.

    Raises:
        NonFiniteError: naming step, rank, metric and value, on all ranks alike.
    """
    done, history, clock = intervals.first, history or History(), Stopwatch()
    next_look = reported = done
    while done < intervals.last:
        with clock:
            batch = next(batches)
        history.add(done, step(done, batch))
        done += 1
        if intervals.reports(done) or done > next_look:
            stopping, seconds_per_step = history.look(synchronise, stop(done))
            next_look = done + int(LOOK_EVERY_SECONDS / seconds_per_step)
            if intervals.reports(done):
                seconds, waited = clock.lap()
                report(
                    Report(
                        step=done,
                        images_seen=done * batch_size,
                        metrics=history.means(),
                        images_per_second=(done - reported) * batch_size / seconds,
                        data_wait_share=waited / seconds,
                    )
                )
                reported = done
            if intervals.saves(done) or stopping:
                save(done)
            if stopping:
                break
    return done


class History:
    """Scalars since the last report: on the device until a look reads them all at once, then as sums.

    Sums are formed value by value in a fixed order, so a run that goes on with the sums of another gets the same means.
    """

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        """Begin with nothing, or with `sums` of the same name from before."""
        self.sums: dict[str, tuple[float, int]] = {name: (v[0], int(v[1])) for name, v in (sums or {}).items()}
        """Sum and number of values by metric name."""
        self._unread: list[tuple[str, int, Tensor]] = []
        self._began, self._steps = time.perf_counter(), 0

    def add(self, step: int, scalars: Mapping[str, Tensor]) -> None:
        """Remember the scalars of one step without reading them."""
        self._steps += 1
        self._unread.extend((name, step, value) for name, value in scalars.items())

    def look(self, synchronise: Callable[[Tensor], Tensor], stop: bool) -> tuple[bool, float]:
        """Read the scalars of all ranks.

        Returns:
            Whether any rank wants to stop, and the seconds per step of the slowest since the last look.

        Raises:
            NonFiniteError: a value is NaN or infinite on some rank.
        """
        local = torch.stack([value.detach().double() for _, _, value in self._unread])
        pace = (time.perf_counter() - self._began) / self._steps
        of_ranks = synchronise(torch.cat([local, local.new_tensor([float(stop), pace])])).tolist()

        for i, (name, step, _) in enumerate(self._unread):
            for rank, values in enumerate(of_ranks):
                if not math.isfinite(values[i]):
                    raise NonFiniteError(f"{name} became {values[i]} in step {step} on rank {rank}")
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + values[i], count + 1
        self._unread, self._began, self._steps = [], time.perf_counter(), 0
        return any(values[-2] for values in of_ranks), max(1e-9, *(values[-1] for values in of_ranks))

    def means(self) -> dict[str, float]:
        """Means over steps and ranks by name; begins anew."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


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
