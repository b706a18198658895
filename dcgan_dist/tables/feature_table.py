"""Features of many images in files that are read a part at a time: 50,000 rows of 28672 need not fit in memory.

A table is a folder of plain .npy parts; a part is written under a temporary name and renamed, so what is there is whole.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.cli.result_file import writing
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import content_hash, whole_file
from dcgan_dist.tables.linear_probe import NOT_FINITE

PART_BYTES = 64 << 20
"""Size of a part as float32, the form in which it is computed with; bounds the memory of whoever reads the table."""
BLOCK_BYTES = 16 << 20
"""Size as float32 of the rows that are multiplied at once: they are in the cache between their scores and their sums."""
SCALE_FLOOR = 1e-2
"""Added to the variance where columns are standardised: a feature that never changes is no signal."""


class Rows(Protocol):
    """Rows of features, wherever they are."""

    @property
    def dimensions(self) -> int:
        """Features of a row."""
        ...

    def __len__(self) -> int: ...

    def take(self, positions: NDArray[np.int64]) -> Tensor:
        """(n, dimensions) float32 rows at positions, in their order, on the CPU."""
        ...

    def blocks(self, positions: NDArray[np.int64] | None = None) -> Iterator[Tensor]:
        """All rows in order, or those at positions, a bounded number at a time, as they are stored: float16 or float32."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryRows:
    """Rows that are small enough to lie in memory."""

    values: Tensor
    """(n, dimensions) float32."""

    @property
    def dimensions(self) -> int:
        """Features of a row."""
        return self.values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, positions: NDArray[np.int64]) -> Tensor:
        return self.values[torch.from_numpy(positions)]

    def blocks(self, positions: NDArray[np.int64] | None = None) -> Iterator[Tensor]:
        yield from (self.values if positions is None else self.take(positions)).split(
            rows_of(self.dimensions, BLOCK_BYTES)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureTable:
    """Rows in a folder."""

    folder: Path
    rows: int
    dimensions: int
    part_rows: int
    """Rows of each part but the last."""

    def __len__(self) -> int:
        return self.rows

    def part(self, number: int) -> Path:
        """File of a part."""
        return self.folder / f"part-{number:06d}.npy"

    def part_range(self, number: int) -> range:
        """Positions of a part's rows."""
        return range(number * self.part_rows, min((number + 1) * self.part_rows, self.rows))

    @property
    def parts(self) -> range:
        """Numbers of all parts."""
        return range(-(-self.rows // self.part_rows))

    def missing_parts(self) -> list[int]:
        """Numbers of the parts that have not been written yet."""
        return [number for number in self.parts if not self.part(number).is_file()]

    def write_part(self, number: int, features: Tensor, dtype: torch.dtype) -> None:
        """Store one part, float16 or float32.

        Raises:
            InputError: a feature is non-finite, or too large for the dtype; or the folder cannot be written.
        """
        assert features.shape == (len(self.part_range(number)), self.dimensions), features.shape
        stored = features.to(dtype)
        require(bool(features.isfinite().all()), NOT_FINITE)
        require(
            bool(stored.isfinite().all()), f"features up to {features.abs().max():.3g} do not fit float16: use float32"
        )
        with written_whole(self.part(number)) as file:
            np.save(file, stored.cpu().numpy(), allow_pickle=False)

    def take(self, positions: NDArray[np.int64]) -> Tensor:
        out = torch.empty(len(positions), self.dimensions)
        numbers = positions // self.part_rows
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            inside = positions[rows] - self.part_range(int(number)).start
            out[torch.from_numpy(rows)] = torch.from_numpy(self._open(int(number))[inside]).float()
        return out

    def blocks(self, positions: NDArray[np.int64] | None = None) -> Iterator[Tensor]:
        count = rows_of(self.dimensions, BLOCK_BYTES)
        if positions is None:
            for part in map(self._open, self.parts):
                for first in range(0, len(part), count):
                    yield torch.from_numpy(part[first : first + count])
        else:
            for first in range(0, len(positions), self.part_rows):
                yield from self.take(positions[first : first + self.part_rows]).split(count)

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and scale (dimensions,) of every feature over all rows, for `standardised`."""
        count, total, squares = 0, torch.zeros(self.dimensions).double(), torch.zeros(self.dimensions).double()
        for block in self.blocks():
            count += len(block)
            total += block.double().sum(0)
            squares += block.double().square().sum(0)
        mean = total / count
        return mean.float(), (squares / count - mean.square() + SCALE_FLOOR).sqrt().float()

    def standardised(self, mean: Tensor, scale: Tensor) -> "FeatureTable":
        """The same rows less the mean, divided by the scale, in a folder beside this; parts that are there stay."""
        identity = content_hash([[float(x) for x in vector] for vector in (mean, scale)])
        table = dataclasses.replace(self, folder=self.folder.with_name(f"{self.folder.name}-{identity[:8]}"))
        for number in table.missing_parts():
            rows = torch.from_numpy(self._open(number))
            table.write_part(number, (rows.float() - mean) / scale, rows.dtype)
        return table

    def _open(self, number: int) -> NDArray[Any]:
        path, shape = self.part(number), (len(self.part_range(number)), self.dimensions)
        with read_or_removed(path):
            part = np.load(path, mmap_mode="c", allow_pickle=False)  # nothing is changed, but torch wants what could be
        require(
            part.shape == shape and part.dtype.kind == "f",
            f"{path} holds {part.dtype} {part.shape} and this discriminator's features are floats {shape}: it belongs to "
            "another one; remove the folder and run the same command again",
        )
        return part


def rows_of(dimensions: int, size: int) -> int:
    """Rows of float32 that are so many bytes, at least one."""
    return max(1, size // (4 * dimensions))


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file below `out` that appears whole or not at all; its folder is made.

    Raises:
        InputError: it cannot be written.
    """
    with writing(f"`out` {path.parent}", "make room, or choose another"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            yield file


@contextmanager
def read_or_removed(path: Path) -> Iterator[None]:
    """Read a file of numpy arrays in the block; raises InputError, which says to remove it, where it is torn."""
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}): remove it and run the same command again") from error
