"""Train a DCGAN on faces (128 px shards of which the centre is taken); otherwise as jobs/train_lsun.py.

python jobs/train_faces.py --shards /shared/faces --num-workers 8 --use-gpu
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train


def main(argv: list[str]) -> int:
    """Exit code of a training run."""
    return train(argv, default_preset="faces64", description=__doc__ or "")


if __name__ == "__main__":
    run(main)
