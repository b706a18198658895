"""Small coloured rooms drawn by rule -> shards, for demos without photographs and for tests that need the truth.

python jobs/prepare_rooms.py --n 20000 --out shards/rooms
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.planted import planted
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareRooms(ShardOptions):
    """Drawn rooms into shards."""

    n: int = 20000
    """Number of rooms."""
    image_size: int = 64
    """Pixels per side."""
    seed: int = 0
    """Seed of the rooms."""
    duplicates: float = 0.0
    """Share of the rooms that are near duplicates of others (JPEG, resize, shift, colour, border) instead; `copy_of` and
    `attack` in their .json tell the truth."""


def main(argv: list[str]) -> int:
    """Prepare shards of drawn rooms."""
    options = parse(PrepareRooms, argv, description=__doc__ or "")
    source = RoomSource(n=options.n, image_size=options.image_size, seed=options.seed)
    return run_preparation(planted(source, options.duplicates), options)


if __name__ == "__main__":
    run(main)
