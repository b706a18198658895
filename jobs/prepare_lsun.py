"""LSUN -> shards: the official LMDB, or the folders, tars or zips that it was exported to.

python jobs/prepare_lsun.py --source bedroom_train_lmdb --out shards/lsun
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareLsun, run_from_flags


def main(argv: list[str]) -> int:
    """Prepare shards of LSUN bedrooms."""
    return run_from_flags(PrepareLsun, argv, description=__doc__ or "")


if __name__ == "__main__":
    run(main)
