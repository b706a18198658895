"""Train a DCGAN on SVHN digits, without labels; otherwise as jobs/train_lsun.py.

python jobs/train_svhn.py --shards /shared/svhn --num-workers 8 --use-gpu
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train

main = partial(train, default_preset="svhn32", description=__doc__ or "")

if __name__ == "__main__":
    run(main)
