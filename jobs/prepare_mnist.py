"""MNIST -> shards: the first 50,000 training digits, 10,000 held out as val, and the test set.

python jobs/prepare_mnist.py --source mnist/ --out shards/mnist
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareMnist, run_from_flags

main = partial(run_from_flags, PrepareMnist, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
