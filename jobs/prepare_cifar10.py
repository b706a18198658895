"""CIFAR-10 -> shards, with the official splits, labels and order.

python jobs/prepare_cifar10.py --source cifar-10-batches-py --out shards/cifar10
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareCifar10, run_from_flags


def main(argv: list[str]) -> int:
    """Prepare shards of CIFAR-10."""
    return run_from_flags(PrepareCifar10, argv, description=__doc__ or "")


if __name__ == "__main__":
    run(main)
