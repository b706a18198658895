"""Rows of global batches: the plan says which samples, the reader brings them, the previous good one replaces a bad one.

Imports no torch, so that the processes which run it start quickly and stay small.
"""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.reader import SampleReader
from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index import NO_LABEL
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.errors import InputError


class RowReader:
    """Reads fixed rows of one global batch after the other."""

    def __init__(self, reader: SampleReader, plan: ShardPlan, rows: NDArray[np.int64]) -> None:
        """Args:
        reader: of the data set that the plan was made for.
        plan: the order.
        rows: which rows of the global batch; fixed, so that this reader walks the same streams for ever.
        """
        self._reader, self._plan = reader, plan
        self._streams, self._inside = np.divmod(rows, plan.rows_per_stream)
        first, last = int(self._streams.min()), int(self._streams.max())
        self._own = [stream for stream in range(first, last + 1) if stream in self._streams]
        self._slot = np.searchsorted(self._own, self._streams)
        self._epoch, self._window = -1, -1
        self._orders = np.empty((0, 0), np.int64)

    def read(self, global_step: int, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[BadSample]:
        """Fill the rows' images (n, c, s, s) and labels (n,) of one step, counted from the start of the run.

        Returns:
            The bad samples that were replaced.
        """
        epoch, step = self._plan.epoch_and_step(global_step)
        self._enter(epoch, step)
        places = step * self._plan.rows_per_stream + self._inside
        positions = self._orders[self._slot, places]
        met = []
        for row, bad in self._reader.read(positions, images):
            met.append(bad)
            order, place = self._orders[self._slot[row]], int(places[row])
            others = itertools.chain(order[:place][::-1], order[place + 1 :])
            positions[row] = replace_bad(self._reader, bad, others, images[row : row + 1])
        labels[:] = self._reader.labels(positions) if self._reader.labelled else NO_LABEL
        return met

    def _enter(self, epoch: int, step: int) -> None:
        """On entering an epoch, lay out its order; on entering a window, announce what is read after it."""
        if new_epoch := epoch != self._epoch:
            self._orders = np.stack([self._plan.stream(epoch, stream) for stream in self._own])
            self._epoch = epoch
        size = self._plan.window
        window = step * self._plan.rows_per_stream // size
        if new_epoch or window != self._window:
            self._window = window
            first = window if new_epoch else window + 1
            for order in self._orders[:, first * size : (window + 2) * size]:
                self._reader.will_need(order)


def replace_bad(reader: SampleReader, bad: BadSample, others: Iterable[int], image: NDArray[np.uint8]) -> int:
    """Read the first good sample of `others` into image (1, c, s, s) and return its position.

    Raises:
        InputError: all of them are bad.
    """
    for count, other in enumerate(others, start=2):
        if not reader.read(np.array([other], np.int64), image):
            return int(other)
        if count > MAX_BAD_IN_A_ROW:
            break
    raise InputError(
        f"no readable sample near by can stand in for {bad}: "
        "run the job `inspect_shards`, and copy or prepare the damaged shards again"
    )


MAX_BAD_IN_A_ROW = 1000
"""So many bad samples one after the other are a broken shard or storage, not single faults."""
