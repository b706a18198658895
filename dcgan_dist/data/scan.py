"""All images of a data set once, in order: for looking at each, not for training."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.data.reader import Crop, SampleReader
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import Batch, OnBadSample


def scan_images(
    manifest: Manifest,
    *,
    image_size: int,
    image_channels: int | None = None,
    crop: Crop = "none",
    batch_size: int = 256,
    on_bad_sample: OnBadSample | None = None,
    positions: NDArray[np.int64] | None = None,
) -> Iterator[Batch]:
    """Images of a manifest once, in its order; memory is bounded by the batch.

    Args:
        manifest: one split of a data set.
        image_size: pixels per side.
        image_channels: 1 or 3; None: as stored.
        crop: "centre" takes the middle of larger images.
        batch_size: the last batch may have fewer.
        on_bad_sample: told of each sample that cannot be read, which is left out.
        positions: (n,) rising, of those that are read; None: all.

    Raises:
        InputError: images of another size, or an unusable index.
    """
    chosen = np.arange(manifest.samples, dtype=np.int64) if positions is None else positions
    channels = image_channels or manifest.image_channels
    with SampleReader(manifest, image_size=image_size, image_channels=channels, crop=crop) as reader:
        for first in range(0, len(chosen), batch_size):
            part = chosen[first : first + batch_size]
            reader.will_need(part)
            images = np.empty((len(part), channels, image_size, image_size), np.uint8)
            good = np.ones(len(part), bool)
            for row, bad in reader.read(part, images):
                good[row] = False
                if on_bad_sample is not None:
                    on_bad_sample(bad)
            labels = torch.from_numpy(reader.labels(part)[good]) if reader.labelled else None
            yield Batch(torch.from_numpy(images[good]), labels)
