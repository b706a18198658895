"""Who reads which sample, as pure functions of integers: no file, no tensor, no rank's state.

An epoch's shuffled shards are one sequence, cut into C equal streams; inside a stream samples are shuffled in fixed
windows; global batch s takes the next B / C samples of every stream. The number of ranks only decides which rank owns
which stream, so it never changes what a batch holds, and resuming is skipping.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError

_SHARD_ORDER, _WINDOW_ORDER = 0, 1  # first word of every seed, so that no two kinds of draw share one
MAX_STREAMS = 64


def default_streams(batch_size: int) -> int:
    """The largest power of two up to 64 that divides the global batch."""
    return int(np.gcd(batch_size, MAX_STREAMS))


def permutation(n: int, *words: int) -> NDArray[np.int64]:
    """A permutation of range(n) that depends on the words alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words))).permutation(n)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardPlan:
    """The order of a data set for every epoch and step."""

    shard_samples: tuple[int, ...]
    """Samples in each shard of the manifest, in manifest order."""
    batch_size: int
    """Rows B of the global batch."""
    streams: int
    """Canonical streams C; recorded with a run, because it shapes the order."""
    window: int = 4096
    """Samples of one stream that are shuffled together."""
    seed: int = 0
    """Seed of every draw."""
    keep: NDArray[np.int64] | None = None
    """Manifest positions that a keep list leaves in, ascending; None: all."""
    _bounds: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.window < 1 or self.seed < 0:
            raise InputError(
                f"batch size {self.batch_size} and window {self.window} must be at least 1, seed {self.seed} at least 0"
            )
        if self.streams < 1 or self.batch_size % self.streams:
            raise InputError(
                f"{self.streams} streams do not divide the batch size {self.batch_size}: "
                f"choose a divisor, such as {default_streams(self.batch_size)}"
            )
        ends = np.cumsum(np.asarray(self.shard_samples, dtype=np.int64))
        bounds = np.concatenate([np.zeros(1, np.int64), ends])
        if self.keep is not None:
            bounds = np.searchsorted(self.keep, bounds)
        object.__setattr__(self, "_bounds", bounds)
        if self.samples < self.batch_size:
            raise InputError(
                f"{self.samples} samples do not fill one batch of {self.batch_size}: "
                "give more images or a smaller data.batch_size"
            )

    @property
    def samples(self) -> int:
        """Samples n of the data set after the keep list."""
        return int(self._bounds[-1])

    @property
    def steps_per_epoch(self) -> int:
        """Global batches of one epoch; the n mod B samples that do not fill a batch are left out, others each epoch."""
        return self.samples // self.batch_size

    @property
    def rows_per_stream(self) -> int:
        """Rows that each stream gives to a batch."""
        return self.batch_size // self.streams

    def owned_streams(self, rank: int, world_size: int) -> NDArray[np.int64]:
        """Streams of one rank, ascending.

        Raises:
            InputError: there are more ranks than streams, so that some would get nothing.
        """
        assert 0 <= rank < world_size, (rank, world_size)
        if world_size > self.streams:
            raise InputError(
                f"{world_size} ranks cannot share {self.streams} streams of the shard plan: "
                f"use at most {self.streams} ranks, or raise data.streams (it must divide the batch size)"
            )
        return np.arange(rank, self.streams, world_size, dtype=np.int64)

    def rows(self, rank: int, world_size: int) -> NDArray[np.int64]:
        """Rows of the global batch that one rank holds, in the order in which it holds them.

        Returns:
            (b,) with b = rows per stream * streams of the rank; stream c has rows c * B/C + j.
        """
        first = self.owned_streams(rank, world_size)[:, None] * self.rows_per_stream
        return (first + np.arange(self.rows_per_stream)).reshape(-1)

    def epoch_and_step(self, global_step: int) -> tuple[int, int]:
        """Split a step counted from the start of the run into epoch and step of that epoch."""
        return divmod(global_step, self.steps_per_epoch)

    def left_out(self, epoch: int) -> list[tuple[int, int]]:
        """Which of the n samples this epoch leaves out, so that its batches are all full: n mod B of them.

        Returns:
            At most two ascending half-open intervals of 0..n.
        """
        tail = self.samples % self.batch_size
        first = epoch * tail % self.samples
        wrapped = max(0, first + tail - self.samples)
        return [span for span in ((0, wrapped), (first, first + tail - wrapped)) if span[0] < span[1]]

    def stream(self, epoch: int, stream: int) -> NDArray[np.int64]:
        """All manifest positions of one stream in one epoch, in reading order: (steps_per_epoch * B / C,).

        They are its part of the epoch's sequence of shards, shuffled window by window.
        """
        starts, stops = self._bounds[:-1], self._bounds[1:]
        cuts = [(np.clip(a, starts, stops), np.clip(b, starts, stops)) for a, b in self.left_out(epoch)]
        order = permutation(len(starts), self.seed, _SHARD_ORDER, epoch)
        sizes = stops - starts - sum((b - a for a, b in cuts), np.zeros_like(starts))
        ends = np.cumsum(sizes[order])

        length = int(ends[-1]) // self.streams
        at = np.arange(stream * length, (stream + 1) * length, dtype=np.int64)
        slot = np.searchsorted(ends, at, side="right")
        shard = order[slot]
        ordinals = starts[shard] + at - (ends[slot] - sizes[shard])
        for a, b in cuts:  # step over what is left out, lower interval first
            ordinals += np.where(ordinals >= a[shard], (b - a)[shard], 0)

        shuffled = np.concatenate(
            [
                ordinals[first : first + self.window][
                    permutation(min(self.window, length - first), self.seed, _WINDOW_ORDER, epoch, stream, first)
                ]
                for first in range(0, length, self.window)
            ]
        )
        return shuffled if self.keep is None else self.keep[shuffled]
