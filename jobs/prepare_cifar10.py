"""CIFAR-10 -> shards, with the official splits, labels and order.

python jobs/prepare_cifar10.py --source cifar-10-batches-py --out shards/cifar10
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareCifar10, run_from_flags

main = partial(run_from_flags, PrepareCifar10, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
