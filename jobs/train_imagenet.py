"""Train a DCGAN on ImageNet-1k at 32x32; otherwise as jobs/train_lsun.py.

python jobs/train_imagenet.py --shards /shared/imagenet --num-workers 8 --use-gpu
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train

main = partial(train, default_preset="imagenet32", description=__doc__ or "")

if __name__ == "__main__":
    run(main)
