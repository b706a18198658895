"""SVHN cropped digits -> shards, with the official splits, labels and order.

python jobs/prepare_svhn.py --source svhn/ --out shards/svhn
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.download import download
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSvhn(ShardOptions):
    """SVHN into shards."""

    source: str
    """Folder of the .mat files, or one of them."""
    extra: bool = False
    """Append extra_32x32.mat to the train split."""
    download: bool = False
    """Fetch the data set into --source first."""


def main(argv: list[str]) -> int:
    """Prepare shards of SVHN."""
    options = parse(PrepareSvhn, argv, description=__doc__ or "")
    if options.download:
        download("svhn", options.source)
    source = SvhnSource(path=options.source, extra=options.extra)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
