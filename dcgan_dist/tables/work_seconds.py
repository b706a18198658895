"""How long the work of a table takes on this machine, from a few seconds of each kind of it; writes nothing."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.runs.rank_precision import decide_precision, fast_bfloat16
from dcgan_dist.tables.feature_table import BLOCK_BYTES, rows_of
from dcgan_dist.tables.features import STATISTICS_BATCH, discriminator_features
from dcgan_dist.tables.linear_probe import RANK
from dcgan_dist.tables.nearest_error import NearestError
from dcgan_dist.tables.patch_features import ITERATIONS, PATCH, PATCHES, PatchFeatures
from dcgan_dist.tables.row_products import MULTIPLIED_AS, add_rows, as_stored, score_rows
from dcgan_dist.training.engine import set_arithmetic
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players

Seconds = dict[str, float]
"""By what is done."""

PASSES, PASSES_GROWTH, FINAL_PASSES = 70, 0.29, 57
"""Passes over 40,000 rows of 28672 features at C 1e-4, the power of C that they grow by, and those of the last SVM."""
RUN_START = 45.0
"""Seconds in which a run starts Ray, writes its checkpoints and registers its networks, measured on two cores."""
FEW_PASSES = 43
"""Passes over the triangular factor of 4,000 rows for each C, the mean of all seven."""
PROBED_BLOCKS = 8
"""Blocks of rows in a probe: more than the cache holds, as when there are many."""
BLOCK = 2048
"""Digits of a probe of the nearest neighbour search."""


def seconds_per_call(work: Callable[[], object], *, least: float = 0.5) -> float:
    """Mean of the calls of `least` seconds, after one that does not count."""
    work()
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < least or not calls:
        work()
        calls += 1
    return passed / calls


def training_seconds(config: TrainConfig, images: int) -> float:
    """A run on one rank that may use all cores, without the reading of its shards, which goes on beside it."""
    device = torch.device("cuda" if config.use_gpu else "cpu")
    config = replace(config, "engine.precision", decide_precision(config, fast_bfloat16))
    set_arithmetic(config, device)
    players = build_players(config, device=device)
    size, model = config.data.batch_size, config.model
    step = gan_step(config, players, rows=list(range(size)), world_size=1, steps_per_epoch=1_000_000)
    labels = torch.arange(size) % model.classes if model.classes else None
    batch = _noise(size, model.image_channels, model.image_size), labels
    numbers = iter(range(1_000_000))  # an alternating schedule takes its two steps in turn

    def two_steps() -> None:
        for _ in range(2):
            next(iter(step(next(numbers), batch).values())).item()  # waits for the device

    return RUN_START + (1 + config.quality.share) * config.epochs * images * seconds_per_call(two_steps) / (2 * size)


def digit_seconds(draw: Callable[[int], NDArray[np.float32]]) -> tuple[float, float]:
    """Seconds to draw a digit, and to compare one with another in the search for the nearest.

    Args:
        draw: so many digits, (n, 784) in [0, 1].
    """
    each = seconds_per_call(lambda: draw(512)) / 512
    queries, *blocks = np.split(draw(3 * BLOCK), 3)
    classes = np.arange(BLOCK) % 10
    nearest = NearestError(queries, classes)
    nearest.add(blocks[0], classes)  # the first block has none before it, and is compared at length
    return each, seconds_per_call(lambda: nearest.add(blocks[1], classes)) / BLOCK**2


def feature_seconds(discriminator: Discriminator, device: torch.device) -> tuple[float, float]:
    """Seconds of an image's part in the statistics, and of its features."""
    network, config = discriminator.to(device), discriminator.config
    images = _noise(STATISTICS_BATCH, config.image_channels, config.image_size)
    pixels = from_uint8(images.to(device), config.output).to(next(network.parameters()).dtype)
    statistics = seconds_per_call(lambda: restandardise(network, [(pixels,)]))
    features = seconds_per_call(lambda: discriminator_features(network, images).cpu())
    return statistics / len(images), features / len(images)


def patch_seconds(centroids: int, device: torch.device) -> tuple[float, float]:
    """Seconds to learn so many centroids of patches, and of an image's features by them."""
    dimensions = 3 * PATCH**2
    features = PatchFeatures(
        *(torch.rand(*s) for s in ((dimensions,), (dimensions, dimensions), (centroids, dimensions)))
    )
    features.to(device)
    images = _noise(4, 3, 32).to(device)
    learning = product_seconds(2 * ITERATIONS * PATCHES * centroids * dimensions, torch.float32, torch.device("cpu"))
    return learning, seconds_per_call(lambda: features(images).cpu()) / len(images)


def pass_seconds(
    rows: int, dimensions: int, columns: int, device: torch.device, dtype: torch.dtype = torch.float16
) -> float:
    """One pass over rows that are stored as `dtype`: the scores of so many columns, and the sums by them."""
    size = rows_of(dimensions, BLOCK_BYTES)
    stored = torch.rand(PROBED_BLOCKS * size, dimensions).to(device, dtype)
    weights = torch.rand(columns, dimensions, device=device, dtype=MULTIPLIED_AS[dtype])
    sums = torch.zeros_like(weights)

    def one_pass() -> None:
        for block in stored.split(size):
            block = as_stored(block, weights.dtype)
            add_rows(sums, block, score_rows(block, weights))
        sums[0, 0].item()  # waits for the device

    return seconds_per_call(one_pass) * rows / len(stored)


def gathering_seconds(rows: int, dimensions: int) -> float:
    """Rows at scattered places, stored as float16, brought together as float32."""
    stored = torch.zeros(PROBED_BLOCKS * rows_of(dimensions, BLOCK_BYTES), dimensions, dtype=torch.float16)
    places = torch.randperm(len(stored), generator=torch.Generator().manual_seed(0))
    return seconds_per_call(lambda: stored[places].float()) * rows / len(stored)


def few_seconds(rows: int, held_out: int, dimensions: int, cs: Sequence[float], device: torch.device) -> float:
    """A linear SVM for each C on few rows: their products, passes over a triangular factor, errors.

    Rows that are not fewer than their features have no such factor, and are passed over themselves.
    """
    # The rows are gathered twice, to be learnt from and for their own error.
    errors = 2 * gathering_seconds(rows, dimensions) + pass_seconds(rows + held_out, dimensions, 10 * len(cs), device)
    if rows >= dimensions:
        return path_seconds(rows, dimensions, cs, device) + errors
    gram = product_seconds(2 * rows * rows * dimensions, torch.float32, device)
    square = product_seconds(2 * rows * rows * (rows / 6 + 2 * RANK), torch.float64, device)
    passes = FEW_PASSES * len(cs) * pass_seconds(rows, rows, 10, device, torch.float64)
    return gram + square + passes + errors


def full_seconds(rows: int, dimensions: int, cs: Sequence[float], device: torch.device) -> float:
    """A linear SVM for each C on many rows, then one more for the C that was chosen."""
    final = FINAL_PASSES * pass_seconds(rows, dimensions, 10, device) + pass_seconds(rows, dimensions, RANK, device)
    return path_seconds(rows, dimensions, cs, device) + final


def path_seconds(rows: int, dimensions: int, cs: Sequence[float], device: torch.device) -> float:
    """A linear SVM for each C on many rows, with their sketch."""
    passes = sum(map(_passes, cs))
    return passes * pass_seconds(rows, dimensions, 10, device) + pass_seconds(rows, dimensions, RANK, device)


def _passes(c: float) -> float:
    """Passes over the rows until a linear SVM on a discriminator's features is solved to the tolerance of the tables."""
    return PASSES * (c / 1e-4) ** PASSES_GROWTH


def product_seconds(flops: float, dtype: torch.dtype, device: torch.device) -> float:
    """Matrix products of so many operations."""
    a = torch.rand(1024, 1024, dtype=dtype, device=device)
    return seconds_per_call(lambda: (a @ a).sum().item()) * flops / (2 * 1024**3)


def _noise(n: int, channels: int, size: int) -> Tensor:
    return torch.randint(
        0, 256, (n, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
