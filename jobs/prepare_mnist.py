"""MNIST -> shards: the first 50,000 training digits, 10,000 held out as val, and the test set.

python jobs/prepare_mnist.py --source mnist/ --out shards/mnist
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareMnist, run_from_flags


def main(argv: list[str]) -> int:
    """Prepare shards of MNIST."""
    return run_from_flags(PrepareMnist, argv, description=__doc__ or "")


if __name__ == "__main__":
    run(main)
