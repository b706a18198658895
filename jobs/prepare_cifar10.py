"""CIFAR-10 -> shards, with the official splits, labels and order.

python jobs/prepare_cifar10.py --source cifar-10-batches-py --out shards/cifar10
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.prepare.sources.download import download
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareCifar10(ShardOptions):
    """CIFAR-10 into shards."""

    source: str
    """Folder of the python batches, or of JPEG tars named <split>/<number>_<class>.jpg."""
    download: bool = False
    """Fetch the data set into --source first."""


def main(argv: list[str]) -> int:
    """Prepare shards of CIFAR-10."""
    options = parse(PrepareCifar10, argv, description=__doc__ or "")
    if options.download:
        download("cifar10", options.source)
    source = Cifar10Source(path=options.source)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
