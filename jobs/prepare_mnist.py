"""MNIST -> shards: the first 50,000 training digits, 10,000 held out as val, and the test set.

python jobs/prepare_mnist.py --source mnist/ --out shards/mnist
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.download import download
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareMnist(ShardOptions):
    """MNIST into shards."""

    source: str
    """Folder of the idx files, plain or gzipped."""
    val: int = 10000
    """Last digits of the training set that are held out."""
    download: bool = False
    """Fetch the data set into --source first."""


def main(argv: list[str]) -> int:
    """Prepare shards of MNIST."""
    options = parse(PrepareMnist, argv, description=__doc__ or "")
    if options.download:
        download("mnist", options.source)
    source = MnistSource(path=options.source, val=options.val)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
