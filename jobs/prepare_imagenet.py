"""ImageNet-1k -> shards: class folders, the official tars, or npz batches of Downsampled ImageNet.

python jobs/prepare_imagenet.py --source ILSVRC2012_img_train.tar --out shards/imagenet
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareImageNet, run_from_flags

main = partial(run_from_flags, PrepareImageNet, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
