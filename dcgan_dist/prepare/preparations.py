"""The preparation jobs: the flags of each, and the source of images that they name.

Sources are imported where they are opened, so that --help loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dcgan_dist.cli.command_line import parse
from dcgan_dist.data.shards.schema import Layout
from dcgan_dist.errors import InputError

if TYPE_CHECKING:
    from dcgan_dist.prepare.sources.base import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardOptions:
    """How shards are laid out."""

    out: str
    """Folder that the shards are written to; the same command again finishes what is missing."""
    layout: Layout = "samples"
    """samples: one encoded image per member; blocks: raw images, many per member, fastest to read."""
    val_fraction: float = 0.0
    """Share of the images held out as split "val", chosen by a hash of the key; official splits stay."""
    shard_samples: int = 8192
    """Items of the source that go into one shard."""
    cpus: int = 0
    """Shards made at once by Ray; 0: as many as the cluster has CPUs; 1: in this process, without Ray."""
    dry_run: bool = False
    """Print the plan and write nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.val_fraction < 1:
            raise InputError(f"`val_fraction` {self.val_fraction} must be at least 0 and less than 1")
        if self.shard_samples < 1 or self.cpus < 0:
            raise InputError(f"`shard_samples` {self.shard_samples} must be at least 1, `cpus` {self.cpus} at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation(ShardOptions):
    """A source of images, and how its shards are laid out."""

    def open_source(self) -> Source:
        """The source that the flags name, fetched first where that is asked for.

        Raises:
            InputError: it could not be fetched.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFolder(Preparation):
    """Photographs in folders or tars into shards."""

    source: tuple[str, ...]
    """Folders, tars and zips of images; img2dataset output too."""
    image_size: int = 64
    """Pixels per side of the shards' images."""
    dataset: str = "folder"
    """Name of the data set, which leads the shards' names."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.folder import FolderSource

        return FolderSource(paths=self.source, image_size=self.image_size, dataset=self.dataset)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareLsun(Preparation):
    """LSUN bedrooms into shards."""

    source: tuple[str, ...]
    """The LMDB folder (with data.mdb), or exported folders, tars or zips."""
    image_size: int = 64
    """Pixels per side: shorter side resized with antialias, centre cut out."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.lsun import lsun_source

        return lsun_source(self.source, self.image_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFaces(Preparation):
    """Faces into shards."""

    source: tuple[str, ...]
    """Folders, tars and zips of photographs."""
    image_size: int = 128
    """Pixels per side of the crops; training takes the centre."""
    min_face: int = 64
    """Smallest side of a face in its photograph, in pixels."""
    margin: float = 0.25
    """Added on each side of the detector's box, as a share of its side."""
    detector: Literal["haar", "yunet"] = "haar"
    """haar ships with OpenCV 4; yunet needs --detector-model."""
    detector_model: str = ""
    """YuNet's .onnx file."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.faces import FacesSource

        return FacesSource(
            paths=self.source,
            image_size=self.image_size,
            min_face=self.min_face,
            margin=self.margin,
            detector=self.detector,
            detector_model=self.detector_model,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareImageNet(Preparation):
    """ImageNet into shards."""

    source: tuple[str, ...]
    """Folders or tars of <class>/<image>, or npz batches."""
    image_size: int = 32
    """Pixels per side; npz batches keep theirs."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.imagenet import imagenet_source

        return imagenet_source(self.source, self.image_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareCifar10(Preparation):
    """CIFAR-10 into shards."""

    source: str
    """Folder of the python batches, or of JPEG tars named <split>/<number>_<class>.jpg."""
    download: bool = False
    """Fetch the data set into --source first."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.cifar10 import Cifar10Source

        if self.download:
            _download("cifar10", self.source)
        return Cifar10Source(path=self.source)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSvhn(Preparation):
    """SVHN into shards."""

    source: str
    """Folder of the .mat files, or one of them."""
    extra: bool = False
    """Append extra_32x32.mat to the train split."""
    download: bool = False
    """Fetch the data set into --source first."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.svhn import SvhnSource

        if self.download:
            _download("svhn", self.source)
        return SvhnSource(path=self.source, extra=self.extra)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareMnist(Preparation):
    """MNIST into shards."""

    source: str
    """Folder of the idx files, plain or gzipped."""
    val: int = 10000
    """Last digits of the training set that are held out."""
    download: bool = False
    """Fetch the data set into --source first."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.mnist import MnistSource

        if self.download:
            _download("mnist", self.source)
        return MnistSource(path=self.source, val=self.val)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareRooms(Preparation):
    """Drawn rooms into shards."""

    n: int = 20000
    """Number of rooms."""
    image_size: int = 64
    """Pixels per side."""
    seed: int = 0
    """Seed of the rooms."""
    duplicates: float = 0.0
    """Share of the rooms that are near duplicates of others (JPEG, resize, shift, colour, border) instead; `copy_of` and
    `attack` in their .json tell the truth."""

    def open_source(self) -> Source:
        """As `Preparation`."""
        from dcgan_dist.prepare.sources.planted import planted
        from dcgan_dist.prepare.sources.rooms import RoomSource

        return planted(RoomSource(n=self.n, image_size=self.image_size, seed=self.seed), self.duplicates)


def run_from_flags(preparation: type[Preparation], argv: Sequence[str], *, description: str) -> int:
    """Prepare what the flags of a job say; returns the exit code.

    Args:
        preparation: the job's flags.
        argv: as they were given.
        description: what the job does, for --help.

    Raises:
        InputError: the source cannot be used, or the folder cannot be written.
    """
    options = parse(preparation, argv, description=description)
    from dcgan_dist.prepare.job import run_preparation

    return run_preparation(options.open_source(), options)


def _download(dataset: str, folder: str) -> None:
    from dcgan_dist.prepare.sources.download import download

    download(dataset, folder)
