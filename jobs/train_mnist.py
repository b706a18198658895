"""Train a DCGAN on MNIST, conditioned on the labels; otherwise as jobs/train_lsun.py.

python jobs/train_mnist.py --shards /shared/mnist --num-workers 8 --use-gpu
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train

main = partial(train, default_preset="mnist28", description=__doc__ or "")

if __name__ == "__main__":
    run(main)
