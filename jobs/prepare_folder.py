"""Photographs in folders, tars or zips -> shards: shorter side to the wanted size with antialias, square centre cut out.

python jobs/prepare_folder.py --source photos/ --out shards/ --image-size 64
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareFolder, run_from_flags

main = partial(run_from_flags, PrepareFolder, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
