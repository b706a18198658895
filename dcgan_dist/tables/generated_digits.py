"""Generated digits of known class, a block after the other and none kept, as the MNIST table learns from them."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dcgan_dist.errors import InputError, require
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.sampling import sample_batches
from dcgan_dist.registry.load import load_generator
from dcgan_dist.tables.table_options import MnistTableOptions

BATCH = 128
"""Digits that share their batch normalisation statistics, as the authors sample."""
BLOCK = 10_000
"""Digits searched at once: 31 MB."""

_log = logging.getLogger(__name__)


class Digits(NamedTuple):
    pixels: NDArray[np.float32]
    """(n, 784) in [0, 1]."""
    classes: NDArray[np.int64]
    """(n,) from 0."""


def run_checkpoints(options: MnistTableOptions) -> list[str]:
    """The checkpoints of the run whose folder `model` is, oldest first; none where it is something else."""
    return sorted(str(path.parent) for path in Path(options.model).glob("checkpoint_*/checkpoint.json"))


def generators(options: MnistTableOptions) -> Iterator[tuple[str, Generator]]:
    """The generators of these checkpoints; one that is damaged is left out, and a warning says why.

    Raises:
        InputError: all are damaged, or they draw no digits.
    """
    faults = []
    for model in run_checkpoints(options):
        try:
            generator = load_digits_generator(model, options)
        except InputError as error:
            _log.warning("checkpoint %s is left out: %s", model, error)
            faults.append(error)
            continue
        yield model, generator
    if len(faults) == len(run_checkpoints(options)):
        raise faults[0]


def load_digits_generator(model: str, options: MnistTableOptions) -> Generator:
    """The generator that a name stands for; raises InputError where it draws no digits."""
    standing = options.mode == "standing" and not options.dry_run  # they would be written to the user's cache
    return of_digits(load_generator(model, options.tracking_uri, standing=standing))


def of_digits(generator: Generator) -> Generator:
    """The same generator; raises InputError where it draws no digits."""
    config = generator.config
    require(
        (config.classes, config.image_size, config.image_channels) == (10, 28, 1),
        f"this generator draws {config.image_channels} x {config.image_size} x {config.image_size} images of {config.classes} "
        "classes, and the table needs 1 x 28 x 28 digits of 10 classes: name a model of preset mnist28",
    )
    return generator


def digit_blocks(
    generator: Generator, first: int, counts: tuple[int, ...], options: MnistTableOptions
) -> Iterator[Digits]:
    """Generated digits from number `first` on, in blocks that end at every count."""
    generator = placed(generator, options)
    ends = sorted({*range(BLOCK, counts[-1], BLOCK), *counts})
    for start, stop in itertools.pairwise([first, *(end for end in ends if end > first)]):
        whole = start // BATCH * BATCH  # batches are made whole, so that a digit does not depend on the blocks
        pixels = np.concatenate([*draw_digits(generator, whole, stop, options)])[start - whole :]
        yield Digits(pixels, np.arange(start, stop) % 10)


def placed(generator: Generator, options: MnistTableOptions) -> Generator:
    """The same generator, on the device that the options name."""
    return generator.to("cuda" if options.use_gpu else "cpu").to(memory_format=torch.channels_last)


def draw_digits(
    generator: Generator, start: int, stop: int, options: MnistTableOptions
) -> Iterator[NDArray[np.float32]]:
    """Generated digits from number `start`, a multiple of 128, to `stop`: (b, 784) a batch."""
    device = next(generator.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bfloat16"):
        for batch in sample_batches(
            generator, stop, seed=options.seed, batch_size=BATCH, mode=options.mode, start=start
        ):
            yield batch.flatten(1).float().cpu().numpy()
