"""Settings of preparations that make no sense are refused with the remedy, before anything is written."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from dcgan_dist.cli.command_line import absolute, parse
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.open_source import open_source
from dcgan_dist.prepare.preparations import (
    PrepareCifar10,
    PrepareFaces,
    PrepareFolder,
    PrepareLsun,
    PrepareMnist,
    PrepareSvhn,
)
from dcgan_dist.prepare.write_shards import prepare


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (lambda: PrepareFolder(source=("x",), out="y", image_size=0), "`image_size` 0 must be from 1"),
        (lambda: PrepareLsun(source=("x",), out="y", image_size=100_000), "`image_size` 100000 must be from 1"),
        (lambda: PrepareFaces(source=("x",), out="y", margin=float("nan")), "`margin` nan must lie between 0 and 10"),
        (lambda: PrepareFaces(source=("x",), out="y", min_face=-1), "`min_face` -1 must be at least 1"),
        (lambda: PrepareMnist(source="x", out="x", val=-1), "`val` -1 must be at least 0"),
        (lambda: PrepareFolder(source=("x",), out="y", dataset="%2e%2e"), "cannot be the name of a folder"),
        (lambda: PrepareFolder(source=("x", ""), out="y"), "`source` has an empty name"),
        (lambda: PrepareMnist(source="x", out=""), "`out` is empty"),
        (
            lambda: PrepareFolder(source=("z", "x/y"), out="x/../x/y/out"),
            "lies in `source` x/y, where its shards would",
        ),
        (
            lambda: open_source(PrepareMnist(source="x", out="y", download=True, dry_run=True)),
            "`dry_run` writes nothing",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options: Callable[[], object], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        options()


def test_the_home_of_nobody_is_no_place() -> None:
    for flags in (["--source", "~nobody-here/x", "--out", "y"], ["--source", "x", "--out", "~nobody-here"]):
        with pytest.raises(InputError, match="~nobody-here is no user of this machine: give the path from /"):
            parse(PrepareFolder, flags, description="")
    assert absolute("~/x", "out") == str(Path.home() / "x")


def test_files_that_hold_no_image_are_said_to_and_nothing_is_written(tmp_path: Path) -> None:
    for name in ("mnist", "cifar10", "svhn"):
        (tmp_path / name).mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 0, 28, 28))
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 0))
    (tmp_path / "cifar10" / "data_batch_1.bin").touch()
    savemat(
        tmp_path / "svhn" / "train_32x32.mat",
        {"X": np.zeros((32, 32, 3, 0), np.uint8), "y": np.zeros((0, 1), np.uint8)},
    )

    for kind, name in ((PrepareMnist, "mnist"), (PrepareCifar10, "cifar10"), (PrepareSvhn, "svhn")):
        options = kind(source=str(tmp_path / name), out=str(tmp_path / "out"), cpus=1)
        with pytest.raises(InputError, match=f"the files of {name} hold no image"):
            prepare(open_source(options), options)
    assert not (tmp_path / "out").exists()
