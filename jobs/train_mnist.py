"""Train a DCGAN on MNIST, conditioned on the labels; otherwise as jobs/train_lsun.py.

python jobs/train_mnist.py --shards /shared/mnist --num-workers 8 --use-gpu
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train


def main(argv: list[str]) -> int:
    """Exit code of a training run."""
    return train(argv, default_preset="mnist28", description=__doc__ or "")


if __name__ == "__main__":
    run(main)
