"""Faces cut out of photographs -> shards of 128 pixel crops, with box and score in the .json members.

python jobs/prepare_faces.py --source photos/ --out shards/faces
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareFaces, run_from_flags

main = partial(run_from_flags, PrepareFaces, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
