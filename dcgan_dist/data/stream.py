"""Batches of a rank, read ahead of the training loop: an endless iterator that can begin at any step."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.config import InputError
from dcgan_dist.data.manifest import Manifest
from dcgan_dist.data.plan import ShardPlan
from dcgan_dist.data.reader import BadSample, Crop, SampleReader, check_image_size, read_or_replace

OnBadSample = Callable[[BadSample], None]


class Batch(NamedTuple):
    """One rank's rows of one global batch."""

    images: torch.Tensor
    """(b, c, s, s) uint8."""
    labels: torch.Tensor | None
    """(b,) int64 class numbers, or None for data without labels."""


class BadSampleLog:
    """Collects bad samples, each once, and stops the run when there are too many."""

    def __init__(self, max_fraction: float, samples: int) -> None:
        """Allow up to `max_fraction` of the data set's `samples` to be bad."""
        self._limit = max_fraction * samples
        self._by_position: dict[int, BadSample] = {}

    def __call__(self, bad: BadSample) -> None:
        """Take note of one.

        Raises:
            InputError: more than the stated share are bad; the message lists the first.
        """
        self._by_position[bad.position] = bad
        if len(self) > self._limit:
            listed = "; ".join(str(one) for one in list(self.samples)[:10])
            raise InputError(
                f"{len(self)} samples are bad, more than data.max_bad_fraction allows ({self._limit:.1f}): {listed}. "
                "Run jobs/inspect_shards.py, and copy or prepare the damaged shards again"
            )

    def __len__(self) -> int:
        return len(self._by_position)

    @property
    def samples(self) -> tuple[BadSample, ...]:
        """The bad samples, in the order they were met."""
        return tuple(self._by_position.values())


def stream_batches(
    manifest: Manifest,
    plan: ShardPlan,
    *,
    rank: int,
    world_size: int,
    image_size: int,
    image_channels: int | None = None,
    start_step: int = 0,
    crop: Crop = "none",
    loader_workers: int = 0,
    prefetch: int = 2,
    on_bad_sample: OnBadSample | None = None,
) -> Iterator[Batch]:
    """Give a rank's rows of every global batch from `start_step` on, epoch after epoch, without end.

    A sample that cannot be used is replaced by the previous good one of its stream in that epoch (at an epoch's
    start, the next), and told to `on_bad_sample` when its batch is handed out. Closing the generator ends the reading.

    Args:
        manifest: one split of a data set, the one that the plan was made for.
        plan: the order.
        rank: 0 to world_size - 1.
        world_size: number of ranks.
        image_size: pixels per side of the batches.
        image_channels: 1 or 3; None: as stored.
        start_step: global step, counted from the start of the run.
        crop: "centre" takes the middle of larger images.
        loader_workers: processes that read and decode; 0: one thread.
        prefetch: batches read ahead, at least 1.
        on_bad_sample: told of each bad sample; may raise to stop.

    Raises:
        InputError: images of another size, more ranks than streams, a plan of another manifest, an unusable index.
    """
    check_image_size(manifest, image_size, crop)
    if plan.shard_samples != manifest.shard_samples:
        raise InputError(f"the shard plan was not made for the shards in {manifest.location}: make it from this split")
    streams = plan.owned_streams(rank, world_size).tolist()
    reader = SampleReader(
        manifest, image_size=image_size, image_channels=image_channels or manifest.image_channels, crop=crop
    )
    return _hand_out(_read_ahead(_batches(reader, plan, streams, start_step), max(1, prefetch)), on_bad_sample)


def read_rows(
    reader: SampleReader, plan: ShardPlan, global_step: int, streams: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[BadSample]]:
    """Read the rows that some streams give to one global batch.

    Returns:
        Images (b, c, s, s), labels (b,) with -1 for none, and the bad samples that were replaced.
    """
    epoch, step = plan.epoch_and_step(global_step)
    per_stream = plan.rows_per_stream
    images = np.empty((len(streams) * per_stream, *reader.image_shape), np.uint8)
    labels = np.empty(len(images), np.int64)
    bad: list[BadSample] = []
    for row in range(len(images)):
        order = plan.stream(epoch, streams[row // per_stream])
        place = step * per_stream + row % per_stream
        position, met = read_or_replace(
            reader,
            int(order[place]),
            lambda order=order, place=place: itertools.chain(order[:place][::-1], order[place + 1 :]),
            images[row],
        )
        labels[row] = reader.label(position)
        bad += met[:1]
    return images, labels, bad


def _batches(
    reader: SampleReader, plan: ShardPlan, streams: Sequence[int], start_step: int
) -> Iterator[tuple[Batch, list[BadSample]]]:
    with reader:
        for global_step in itertools.count(start_step):
            images, labels, bad = read_rows(reader, plan, global_step, streams)
            labelled = bool(len(labels)) and labels.min() >= 0
            yield Batch(torch.from_numpy(images), torch.from_numpy(labels) if labelled else None), bad


def _read_ahead(
    batches: Iterator[tuple[Batch, list[BadSample]]], depth: int
) -> Iterator[tuple[Batch, list[BadSample]]]:
    """Run an iterator in a thread, up to `depth` items ahead; its exception comes out here."""
    ready: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def offer(item: object) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def fill() -> None:
        try:
            for item in batches:
                offer(item)
                if stop.is_set():
                    break
        except BaseException as error:  # handed to the reader of the batches, whatever it is
            offer(error)
        finally:
            batches.close()  # type: ignore[attr-defined]  # a generator: lets go of its files

    thread = threading.Thread(target=fill, name="data reader", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _hand_out(batches: Iterator[tuple[Batch, list[BadSample]]], on_bad_sample: OnBadSample | None) -> Iterator[Batch]:
    with closing(batches):  # type: ignore[type-var]
        for batch, bad in batches:
            if on_bad_sample is not None:
                for one in bad:
                    on_bad_sample(one)
            yield batch


def read_images(
    manifest: Manifest,
    positions: Sequence[int] | NDArray[np.int64] | int,
    *,
    image_size: int,
    image_channels: int | None = None,
    crop: Crop = "none",
    on_bad_sample: OnBadSample | None = None,
) -> torch.Tensor:
    """Read some images at once, for held-out sets and standing statistics.

    Args:
        manifest: one split of a data set.
        positions: manifest positions, or a number of images, spread evenly over the manifest (all, if it has fewer).
        image_size: pixels per side.
        image_channels: 1 or 3; None: as stored.
        crop: "centre" takes the middle of larger images.
        on_bad_sample: told of each bad sample; the nearest good one before it (else after it) stands in.

    Returns:
        (n, c, s, s) uint8, in the order of `positions`.
    """
    if isinstance(positions, int):
        n = min(positions, manifest.samples)
        positions = np.arange(n, dtype=np.int64) * manifest.samples // max(1, n)
    channels = image_channels or manifest.image_channels
    images = np.empty((len(positions), channels, image_size, image_size), np.uint8)
    with SampleReader(manifest, image_size=image_size, image_channels=channels, crop=crop) as reader:
        for row, position in enumerate(positions):
            others = itertools.chain(range(int(position) - 1, -1, -1), range(int(position) + 1, manifest.samples))
            _, bad = read_or_replace(reader, int(position), lambda others=others: others, images[row])
            if on_bad_sample is not None and bad:
                on_bad_sample(bad[0])
    return torch.from_numpy(images)


def read_labels(manifest: Manifest) -> torch.Tensor:
    """Class number of every sample of a manifest: (n,) int64, -1 where it has none."""
    with SampleReader(manifest, image_size=manifest.image_size, image_channels=1) as reader:
        return torch.from_numpy(np.concatenate([reader.index(i).labels for i in range(len(manifest.shards))]))


def read_keys(manifest: Manifest) -> list[str]:
    """Key of every sample of a manifest, by position."""
    with SampleReader(manifest, image_size=manifest.image_size, image_channels=1) as reader:
        return [key for i in range(len(manifest.shards)) for key in reader.index(i).keys]
