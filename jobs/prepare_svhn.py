"""SVHN cropped digits -> shards, with the official splits, labels and order.

python jobs/prepare_svhn.py --source svhn/ --out shards/svhn
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareSvhn, run_from_flags

main = partial(run_from_flags, PrepareSvhn, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
