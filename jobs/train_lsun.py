"""Train a DCGAN on bedrooms (or any shards) on a Ray cluster; the same command again goes on where it stopped.

Reads shards that a jobs/prepare_*.py wrote, trains with one process per rank, keeps checkpoints and sample grids in the
storage, records everything with MLflow and registers generator and discriminator at the end. Every field of the config
is a flag by its dotted path. On a cluster: ray job submit -- python jobs/train_lsun.py --shards /shared/lsun.
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.runs.job import train

main = partial(train, default_preset="lsun64", description=__doc__ or "")

if __name__ == "__main__":
    run(main)
