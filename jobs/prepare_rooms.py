"""Small coloured rooms drawn by rule -> shards, for demos without photographs and for tests that need the truth.

python jobs/prepare_rooms.py --n 20000 --out shards/rooms
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import run
from dcgan_dist.prepare.preparations import PrepareRooms, run_from_flags


def main(argv: list[str]) -> int:
    """Prepare shards of drawn rooms."""
    return run_from_flags(PrepareRooms, argv, description=__doc__ or "")


if __name__ == "__main__":
    run(main)
