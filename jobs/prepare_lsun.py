"""LSUN -> shards: the official LMDB, or the folders, tars or zips that it was exported to.

python jobs/prepare_lsun.py --source bedroom_train_lmdb --out shards/lsun
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareLsun, run_from_flags

main = partial(run_from_flags, PrepareLsun, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
