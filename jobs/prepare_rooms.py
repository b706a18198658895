"""Small coloured rooms drawn by rule -> shards, for demos without photographs and for tests that need the truth.

python jobs/prepare_rooms.py --n 20000 --out shards/rooms
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareRooms, run_from_flags

main = partial(run_from_flags, PrepareRooms, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
