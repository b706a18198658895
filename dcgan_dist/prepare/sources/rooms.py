"""Small coloured rooms drawn by rule: bed, window, lamp and floor, with the truth about each in the .json member.

For demos without photographs, and for experiments that need to know where the windows are. An image is a pure
function of (seed, number).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.base import Item, Rejected, Source
from dcgan_dist.prepare.sources.room_drawing import OVERSAMPLING, draw_room


@dataclass(frozen=True, kw_only=True)
class RoomSource(Source):
    """Rooms number 0 to n - 1 of a seed."""

    n: int
    image_size: int = 64
    seed: int = 0
    dataset: str = "rooms"

    def items(self) -> Sequence[Item]:
        """One item per room."""
        if self.n < 1 or self.image_size < 16 or self.seed < 0:
            raise InputError(
                f"`n` {self.n} must be at least 1, `image_size` {self.image_size} at least 16, `seed` {self.seed} at least 0"
            )
        return [Item(f"room-{self.seed}-{number:07d}", number) for number in range(self.n)]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """Draw one room."""
        image, truth = draw_room(self.seed, item.ref, self.image_size)
        yield Sample(key=item.key, pixels=np.asarray(image), details=truth)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        preprocessing = {"drawn_at": self.image_size * OVERSAMPLING, "size": self.image_size}
        return preprocessing, {"kind": "rooms", "seed": self.seed, "n": self.n}
