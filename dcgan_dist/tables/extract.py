"""Features of a data set, made once by any number of processes, kept by a hash of all they depend on."""

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.config import ModelConfig
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.files import content_hash
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.tables.feature_table import PART_BYTES, FeatureTable, read_or_removed, rows_of, written_whole
from dcgan_dist.tables.features import STATISTICS_BATCH, discriminator_features, feature_dimensions
from dcgan_dist.tables.linear_probe import NOT_FINITE

BATCH = 128
BATCHES_PER_TASK = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """Processes that compute features, and the precision of their files."""

    count: int = 1
    """Processes at once, by Ray; 1: this one; 0: as many as the cluster has CPUs."""
    use_gpu: bool = False
    """Each on a GPU."""
    dtype: Literal["float16", "float32"] = "float16"

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda" if self.use_gpu else "cpu")

    def run(self, function: Callable[[Any, Any], Any], shared: Any, tasks: list[Any]) -> Iterator[tuple[Any, Any]]:
        """`run_tasks` with these processes."""
        return run_tasks(function, shared, tasks, cpus=self.count, gpu_share=1 if self.use_gpu else 0)


class Extractor(Protocol):
    """Turns images into features; it is sent to other processes."""

    name: str
    """Label of the progress bar."""
    dimensions: int
    identity: str
    """Hash of all that decides the features of an image."""

    def to(self, device: torch.device) -> None:
        """Move to where it will compute."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Features (b, dimensions) of images (b, c, s, s) uint8."""
        ...


class DiscriminatorExtractor:
    """A discriminator whose statistics were measured on the target's training images."""

    def __init__(self, discriminator: Discriminator, name: str) -> None:
        self.discriminator, self.name = discriminator.eval(), name
        self.dimensions = feature_dimensions(discriminator.config)
        self.identity = network_hash(discriminator)

    def to(self, device: torch.device) -> None:
        self.discriminator.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        return discriminator_features(self.discriminator, images)


def network_hash(discriminator: Discriminator) -> str:
    """Hash of all that decides what a discriminator computes: its tensors and its config."""
    return content_hash([parameters_hash(discriminator), dataclasses.asdict(discriminator.config)])


def parameters_hash(network: torch.nn.Module) -> str:
    """SHA-256 over names and values of parameters and buffers, in hex."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()


def check_fits(config: ModelConfig, manifest: Manifest) -> None:
    """Raise InputError where a discriminator of this config cannot see such images, or gives no features."""
    feature_dimensions(config)
    require(
        (manifest.image_size, manifest.image_channels) == (config.image_size, config.image_channels),
        f"this discriminator sees images of {config.image_size} pixels and {config.image_channels} channels, and "
        f"{manifest.location} has {manifest.image_size} pixels and {manifest.image_channels} channels: name a discriminator "
        "of this size, or prepare the data for it",
    )


def fit_to(
    discriminator: Discriminator, manifest: Manifest, folder: Path, workers: Workers, *, name: str, images: int = 0
) -> DiscriminatorExtractor:
    """Measure a discriminator's standing statistics on a target's training images, in batches of 128.

    Mean over the batches of each batch's mean and biased variance; a last batch that is not full is left out, unless it
    is the only one. The discriminator is not changed, and its own statistics, if any, do not count. What was measured lies
    in the folder, by hash.

    Args:
        name: label of the progress bar.
        images: how many, the first of the manifest; 0: all.

    Raises:
        InputError: the discriminator cannot see such images or gives no features, or its statistics are not finite.
    """
    check_fits(discriminator.config, manifest)
    discriminator = copy.deepcopy(discriminator)
    norms = _norms(discriminator)
    for norm in norms:
        norm.mean.fill_(torch.nan)
        norm.variance.fill_(torch.nan)
    count = min(images or manifest.samples, manifest.samples)
    identity = content_hash(["statistics", network_hash(discriminator), manifest.hash, count])
    path = folder / f"statistics-{identity[:16]}.npz"
    if not path.is_file():
        arrays = _measure_statistics(discriminator, manifest, count, workers, name)
        with written_whole(path) as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    with read_or_removed(path), np.load(path, allow_pickle=False) as arrays:
        for i, norm in enumerate(norms):
            norm.mean.copy_(torch.from_numpy(arrays[f"{i}m"]))
            norm.variance.copy_(torch.from_numpy(arrays[f"{i}v"]))
    require(all(bool(norm.variance.isfinite().all()) for norm in norms), NOT_FINITE)
    return DiscriminatorExtractor(discriminator, name)


def _measure_statistics(
    discriminator: Discriminator, manifest: Manifest, count: int, workers: Workers, name: str
) -> dict[str, np.ndarray]:
    """Means "0m", "1m", ... and variances "0v", "1v", ... of the normalisations over the first `count` images, float64."""
    size = min(STATISTICS_BATCH, count)
    batches = [np.arange(first, first + size) for first in range(0, count - size + 1, size)]
    tasks = [batches[first : first + BATCHES_PER_TASK] for first in range(0, len(batches), BATCHES_PER_TASK)]
    sums = [torch.zeros(2, norm.features).double() for norm in _norms(discriminator)]
    with progress_bar(len(batches) * size, f"statistics of {name}") as bar:
        for task, measured in workers.run(partial(_measure, manifest, workers.device), discriminator, tasks):
            for total, statistics in zip(sums, measured, strict=True):
                total.add_(statistics.double() * len(task))
            bar.update(len(task) * size)
    return {
        f"{i}{kind}": (total[row] / len(batches)).numpy()
        for i, total in enumerate(sums)
        for row, kind in enumerate("mv")
    }


def extract_features(
    extractor: Extractor, manifest: Manifest, folder: Path, workers: Workers, *, images: int = 0
) -> FeatureTable:
    """Features of the first images (0: of all) of a manifest, in files below a folder.

    Parts that an earlier call has finished are not made again. The number of workers changes nothing but the time.

    Raises:
        InputError: the folder cannot be written, or a feature is non-finite or does not fit the dtype.
    """
    rows = min(images or manifest.samples, manifest.samples)
    identity = content_hash(["features", extractor.identity, manifest.hash, rows, workers.dtype])
    table = FeatureTable(
        folder=folder / f"features-{identity[:16]}",
        rows=rows,
        dimensions=extractor.dimensions,
        part_rows=rows_of(extractor.dimensions, PART_BYTES),
    )
    missing = table.missing_parts()
    with progress_bar(rows, f"features of {extractor.name}") as bar:
        bar.update(rows - sum(len(table.part_range(number)) for number in missing))
        for number, _ in workers.run(partial(_write_part, table, manifest, workers), extractor, missing):
            bar.update(len(table.part_range(number)))
    return table


def _measure(
    manifest: Manifest, device: torch.device, discriminator: Discriminator, batches: list[np.ndarray]
) -> list[Tensor]:
    """Mean and variance (2, features) of every normalisation over some batches."""
    network = copy.deepcopy(discriminator).to(device)
    weight = next(network.parameters())
    size, channels = network.config.image_size, network.config.image_channels

    def arguments() -> Iterator[tuple[Tensor]]:
        for positions in batches:
            images = read_images(
                manifest, positions, image_size=size, image_channels=channels, on_bad_sample=refuse_bad_sample
            )
            yield (from_uint8(images.to(device), network.config.output).to(weight.dtype),)

    restandardise(network, arguments())
    return [torch.stack([norm.mean, norm.variance]).cpu() for norm in _norms(network)]


def _norms(network: Discriminator) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def _write_part(table: FeatureTable, manifest: Manifest, workers: Workers, extractor: Extractor, number: int) -> None:
    extractor.to(workers.device)
    rows = table.part_range(number)
    positions = np.arange(rows.start, rows.stop)
    images = read_images(manifest, positions, image_size=manifest.image_size, on_bad_sample=refuse_bad_sample)
    features = torch.cat([extractor(batch.to(workers.device)).cpu() for batch in images.split(BATCH)])
    table.write_part(number, features, getattr(torch, workers.dtype))
