"""SVHN cropped digits -> shards, with the official splits, labels and order.

python jobs/prepare_svhn.py --source svhn/ --out shards/svhn
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareSvhn, run_from_flags


def main(argv: list[str]) -> int:
    """Prepare shards of SVHN."""
    return run_from_flags(PrepareSvhn, argv, description=__doc__ or "")


if __name__ == "__main__":
    run(main)
