"""The options of each preparation job; what reads images is imported after them, so that --help loads neither torch nor Ray."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import parse
from dcgan_dist.data.shards.schema import MOST_SIDE, Layout
from dcgan_dist.errors import require
from dcgan_dist.untrusted import require_name


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
    """Shards made at once by Ray; 1: in this process, without Ray; 0: so where there are few images, else as many as the
    cluster has CPUs."""
    dry_run: bool = False
    """Print the plan and write nothing."""

    def __post_init__(self) -> None:
        require(0 <= self.val_fraction < 1, f"`val_fraction` {self.val_fraction} must be at least 0 and less than 1")
        require(bool(self.out), "`out` is empty: name a folder")
        sources = getattr(self, "source", None)
        for source in (sources,) if isinstance(sources, str) else sources or ():
            require(bool(source), "`source` has an empty name: give a folder or file")
            require(
                not isinstance(sources, tuple) or not _lies_in(self.out, source),
                f"`out` {self.out} lies in `source` {source}, where its shards would count as images the next time: "
                "choose a folder outside",
            )
        size = getattr(self, "image_size", MOST_SIDE)
        require(1 <= size <= MOST_SIDE, f"`image_size` {size} must be from 1 to {MOST_SIDE}")
        require(
            self.shard_samples >= 1 and self.cpus >= 0,
            f"`shard_samples` {self.shard_samples} must be at least 1, `cpus` {self.cpus} at least 0",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFolder(ShardOptions):
    """Photographs in folders or tars into shards."""

    source: tuple[str, ...]
    """Folders, tars and zips of images; img2dataset output too."""
    image_size: int = 64
    """Pixels per side of the shards' images."""
    dataset: str = "folder"
    """Name of the data set, which leads the shards' names."""

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)
        require(bool(self.dataset), "`dataset` is empty: name the data set, or leave it out")
        require_name(self.dataset, "dataset")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareLsun(ShardOptions):
    """LSUN bedrooms into shards."""

    source: tuple[str, ...]
    """The LMDB folder (with data.mdb), or exported folders, tars or zips."""
    image_size: int = 64
    """Pixels per side: shorter side resized with antialias, centre cut out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFaces(ShardOptions):
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

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)
        require(self.min_face >= 1, f"`min_face` {self.min_face} must be at least 1")
        require(0 <= self.margin <= 10, f"`margin` {self.margin} must lie between 0 and 10")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareImageNet(ShardOptions):
    """ImageNet into shards."""

    source: tuple[str, ...]
    """Folders or tars of <class>/<image>, or npz batches."""
    image_size: int = 32
    """Pixels per side; npz batches keep theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareCifar10(ShardOptions):
    """CIFAR-10 into shards."""

    source: str
    """Folder of the python batches, or of JPEG tars named <split>/<number>_<class>.jpg."""
    download: bool = False
    """Fetch the data set into --source first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSvhn(ShardOptions):
    """SVHN into shards."""

    source: str
    """Folder of the .mat files, or one of them."""
    extra: bool = False
    """Append extra_32x32.mat to the train split."""
    download: bool = False
    """Fetch the data set into --source first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareMnist(ShardOptions):
    """MNIST into shards."""

    source: str
    """Folder of the idx files, plain or gzipped."""
    val: int = 10000
    """Last digits of the training set that are held out."""
    download: bool = False
    """Fetch the data set into --source first."""

    def __post_init__(self) -> None:
        ShardOptions.__post_init__(self)
        require(self.val >= 0, f"`val` {self.val} must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareRooms(ShardOptions):
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


def _lies_in(path: str, folder: str) -> bool:
    place, above = (os.path.realpath(os.path.expanduser(name)) for name in (path, folder))  # noqa: PTH111  may name no user
    return "://" not in path and os.path.commonpath([place, above]) == above


def run_from_flags(options_class: type[ShardOptions], argv: Sequence[str], *, description: str) -> int:
    """Prepare what the flags of a job say; returns the exit code.

    Args:
        options_class: the job's options, one flag each.
        argv: the flags as they were given.
        description: what the job does, for --help.

    Raises:
        InputError: the source cannot be used, or the folder cannot be written.
    """
    options = parse(options_class, argv, description=description)
    from dcgan_dist.prepare.job import run_preparation
    from dcgan_dist.prepare.open_source import open_source

    return run_preparation(open_source(options), options)
