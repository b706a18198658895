"""Batches of a rank, read ahead of the training loop: an endless iterator that can begin at any step."""

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.data.loader import Rows, RowTask, read_in_processes, read_in_thread
from dcgan_dist.data.reader import Crop, SampleReader, check_image_size
from dcgan_dist.data.rows import replace_bad
from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index import ShardIndex
from dcgan_dist.data.shards.index_table import BadSample, load_index
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError
from dcgan_dist.storage.local import open_storage

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
            listed = "; ".join(str(sample) for sample in list(self.samples)[:10])
            raise InputError(
                f"{len(self)} samples are bad, more than `data.max_bad_fraction` allows ({self._limit:.1f}): {listed}. "
                "Run the job `inspect_shards`, and copy or prepare the damaged shards again"
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
    cache_folder: str = "",
    on_bad_sample: OnBadSample | None = None,
) -> Generator[Batch]:
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
        cache_folder: where parts of remote shards are kept, bounded; empty: a folder that goes with the process.
        on_bad_sample: told of each bad sample; may raise to stop.

    Raises:
        InputError: images of another size, more ranks than streams, a plan of another manifest, an unusable index.
    """
    check_image_size(manifest, image_size, crop)
    if plan.shard_samples != manifest.shard_samples:
        raise InputError(f"the shard plan was not made for the shards in {manifest.location}: make it from this split")
    task = RowTask(
        manifest=manifest,
        plan=plan,
        rows=plan.rows(rank, world_size),
        start_step=start_step,
        image_size=image_size,
        image_channels=image_channels or manifest.image_channels,
        crop=crop,
        cache_folder=cache_folder,
    )
    depth = max(1, prefetch)
    steps = read_in_processes(task, loader_workers, depth) if loader_workers else read_in_thread(task, depth)
    return _hand_out(steps, manifest.classes > 0, on_bad_sample)


def _hand_out(steps: Generator[Rows], labelled: bool, on_bad_sample: OnBadSample | None) -> Generator[Batch]:
    with closing(steps):
        for images, labels, bad in steps:
            if on_bad_sample is not None:
                for sample in bad:
                    on_bad_sample(sample)
            yield Batch(torch.from_numpy(images), torch.from_numpy(labels) if labelled else None)


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
        for row, bad in reader.read(np.asarray(positions, np.int64), images):
            others = itertools.chain(range(bad.position - 1, -1, -1), range(bad.position + 1, manifest.samples))
            replace_bad(reader, bad, others, images[row : row + 1])
            if on_bad_sample is not None:
                on_bad_sample(bad)
    return torch.from_numpy(images)


def refuse_bad_sample(bad: BadSample) -> None:
    """For `read_images` where another image may not stand in, as labels are read beside the images.

    Raises:
        InputError: always; it names the sample.
    """
    raise InputError(
        f"a sample cannot be used, {bad}: run the job `inspect_shards`, and copy or prepare that shard again"
    )


def read_labels(manifest: Manifest) -> torch.Tensor:
    """Class number of every sample of a manifest: (n,) int64, -1 where it has none."""
    return torch.from_numpy(np.concatenate([index.labels for index in _indexes(manifest)]))


def read_keys(manifest: Manifest) -> list[str]:
    """Key of every sample of a manifest, by position."""
    return [key for index in _indexes(manifest) for key in index.keys]


def _indexes(manifest: Manifest) -> Iterator[ShardIndex]:
    with closing(open_storage(manifest.location)) as storage:
        for shard in manifest.shards:
            yield load_index(storage, shard)
