"""Features of a data set, made once by any number of processes, kept by a hash of all they depend on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.manifest import Manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import content_hash, whole_file
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.models.ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.tables.feature_table import FeatureTable, rows_per_part
from dcgan_dist.tables.features import STATISTICS_BATCH, check_images_fit, discriminator_features, feature_dimensions
from dcgan_dist.tables.linear_probe import NOT_FINITE
from dcgan_dist.tables.table_options import ProbeOptions

BATCH = 128
BATCHES_PER_TASK = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """Who computes features, and in what form they are kept."""

    count: int = 1
    """Processes at once, by Ray; 1: this one; 0: as many as the cluster has CPUs."""
    use_gpu: bool = False
    """Each on a GPU."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of the files."""

    @classmethod
    def of(cls, options: ProbeOptions) -> Workers:
        """Those that the flags of a table ask for."""
        return cls(count=options.cpus, use_gpu=options.use_gpu, dtype=options.dtype)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda" if self.use_gpu else "cpu")

    def run(self, function: Callable[[Any, Any], Any], shared: Any, tasks: list[Any]) -> Iterator[tuple[Any, Any]]:
        """`run_tasks` with these processes."""
        return run_tasks(function, shared, tasks, cpus=self.count, gpu_share=1 if self.use_gpu else 0)


class Extractor(Protocol):
    """What turns images into features; it travels to other processes."""

    name: str
    """For the progress bar."""
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
        self.identity = parameters_hash(discriminator)

    def to(self, device: torch.device) -> None:
        """As `Extractor`."""
        self.discriminator.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """As `Extractor`."""
        return discriminator_features(self.discriminator, images)


def parameters_hash(network: torch.nn.Module) -> str:
    """SHA-256 over names and values of parameters and buffers, in hex."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()


def fit_to(
    discriminator: Discriminator, manifest: Manifest, folder: Path, workers: Workers, *, name: str, images: int = 0
) -> DiscriminatorExtractor:
    """Measure a discriminator's standing statistics on a target's training images, in batches of 128.

    Mean over the batches of each batch's mean and biased variance; a last batch that is not full is left out, unless it
    is the only one.

    Args:
        discriminator: its own statistics, if any, do not count; it is not changed.
        manifest: the target's training images.
        folder: keeps what was measured, by hash.
        workers: who measures.
        name: for the progress bar.
        images: how many, the first of the manifest; 0: all.

    Raises:
        InputError: the discriminator cannot see such images or gives no features.
    """
    discriminator = copy.deepcopy(discriminator)
    feature_dimensions(discriminator.config)
    check_images_fit(
        discriminator.config,
        image_size=manifest.image_size,
        image_channels=manifest.image_channels,
        where=manifest.location,
    )
    norms = [module for module in discriminator.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.mean.fill_(torch.nan)
        norm.variance.fill_(torch.nan)
    use = min(images or manifest.samples, manifest.samples)
    positions = np.arange(use)
    identity = content_hash(["statistics", parameters_hash(discriminator), manifest.hash, use])
    kept = folder / f"statistics-{identity[:16]}.npz"
    if not kept.is_file():
        size = min(STATISTICS_BATCH, use)
        batches = [positions[first : first + size] for first in range(0, use - size + 1, size)]
        tasks = [batches[first : first + BATCHES_PER_TASK] for first in range(0, len(batches), BATCHES_PER_TASK)]
        sums = [(torch.zeros(n.features).double(), torch.zeros(n.features).double()) for n in norms]
        with progress_bar(len(batches) * size, f"statistics of {name}") as bar:
            for task, measured in workers.run(partial(_measure, manifest, workers.device), discriminator, tasks):
                for total, part in zip(sums, measured, strict=True):
                    total[0].add_(part[0].double() * len(task))
                    total[1].add_(part[1].double() * len(task))
                bar.update(len(task) * size)
        _save_arrays(kept, {f"{i}{kind}": (s[j] / len(batches)).numpy() for i, s in enumerate(sums) for j, kind in enumerate("mv")})  # fmt: skip
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            for i, norm in enumerate(norms):
                norm.mean.copy_(torch.from_numpy(arrays[f"{i}m"]))
                norm.variance.copy_(torch.from_numpy(arrays[f"{i}v"]))
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise InputError(f"{kept} cannot be read ({error}): remove it and run the same command again") from error
    require(all(bool(norm.variance.isfinite().all()) for norm in norms), NOT_FINITE)
    return DiscriminatorExtractor(discriminator, name)


def extract_features(
    extractor: Extractor, manifest: Manifest, folder: Path, workers: Workers, *, images: int = 0
) -> FeatureTable:
    """Features of the first images of a manifest, in files; what an earlier call has finished is not made again.

    Args:
        extractor: makes them.
        manifest: one split of a data set.
        folder: of the tables of this data set.
        workers: who computes; more of them change nothing but the time.
        images: how many; 0: all.
    """
    rows = min(images or manifest.samples, manifest.samples)
    identity = content_hash(["features", extractor.identity, manifest.hash, rows, workers.dtype])
    table = FeatureTable(
        folder=folder / f"features-{identity[:16]}",
        rows=rows,
        dimensions=extractor.dimensions,
        part_rows=rows_per_part(extractor.dimensions),
    )
    try:
        table.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error.strerror}): choose another") from error
    missing = table.missing_parts()
    with progress_bar(rows, f"features of {extractor.name}") as bar:
        bar.update(rows - sum(len(table.part_range(number)) for number in missing))
        for number, _ in workers.run(partial(_write_part, table, manifest, workers), extractor, missing):
            bar.update(len(table.part_range(number)))
    return table


def _measure(
    manifest: Manifest, device: torch.device, discriminator: Discriminator, batches: list[np.ndarray]
) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance of every normalisation over some batches."""
    network = copy.deepcopy(discriminator).to(device)
    weight = next(network.parameters())
    size, channels = network.config.image_size, network.config.image_channels

    def arguments() -> Iterator[tuple[Tensor]]:
        for positions in batches:
            images = read_images(manifest, positions, image_size=size, image_channels=channels)
            yield (from_uint8(images.to(device), network.config.output).to(weight.dtype),)

    restandardise(network, arguments())
    return [(norm.mean.cpu(), norm.variance.cpu()) for norm in network.modules() if isinstance(norm, BatchNorm)]


def _write_part(table: FeatureTable, manifest: Manifest, workers: Workers, extractor: Extractor, number: int) -> None:
    extractor.to(workers.device)
    rows = table.part_range(number)
    images = read_images(manifest, np.arange(rows.start, rows.stop), image_size=manifest.image_size)
    features = torch.cat([extractor(batch.to(workers.device)).cpu() for batch in images.split(BATCH)])
    table.write_part(number, features, getattr(torch, workers.dtype))


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    except OSError as error:
        raise InputError(f"`out` {path.parent} cannot be written ({error.strerror}): choose another") from error
