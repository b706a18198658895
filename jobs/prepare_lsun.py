"""LSUN -> shards: the official LMDB, or the folders, tars or zips that it was exported to.

python jobs/prepare_lsun.py --source bedroom_train_lmdb --out shards/lsun
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.lsun import lsun_source
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareLsun(ShardOptions):
    """LSUN bedrooms into shards."""

    source: tuple[str, ...]
    """The LMDB folder (with data.mdb), or exported folders, tars or zips."""
    image_size: int = 64
    """Pixels per side: shorter side resized with antialias, centre cut out."""


def main(argv: list[str]) -> int:
    """Prepare shards of LSUN bedrooms."""
    options = parse(PrepareLsun, argv, description=__doc__ or "")
    source = lsun_source(options.source, options.image_size)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
