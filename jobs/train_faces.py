"""Train a DCGAN on faces (128 px shards of which the centre is taken); otherwise as jobs/train_lsun.py.

python jobs/train_faces.py --shards /shared/faces --num-workers 8 --use-gpu
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train

main = partial(train, default_preset="faces64", description=__doc__ or "")

if __name__ == "__main__":
    run(main)
