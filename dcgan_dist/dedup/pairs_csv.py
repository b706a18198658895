"""pairs.csv: every candidate in a row, made by columns, as a set of millions has tens of millions of candidates."""

import csv
import io
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cluster.tasks import map_tasks
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.files import whole_file

PAIRS_NAME = "pairs.csv"
HEADER = ("key_a", "key_b", "distance", "score", "duplicate")
BLOCK = 1 << 18
"""Rows that one task writes."""


def write_pairs_csv(
    path: Path, names: NDArray[np.bytes_], pairs: ScoredPairs, accepted: NDArray[np.bool_], cpus: int = 1
) -> None:
    """Every candidate with distance, score and whether it is a duplicate (1 or 0), in the order of the shards.

    Args:
        path: of the file.
        names: (n,) keys of all rows, in UTF-8.
        pairs: candidates.
        accepted: (k,) which of them are duplicates.
        cpus: tasks at once, as in `run_tasks`.
    """
    keys = np.strings.add(_quoted(names), b",")
    distances = _table(range(int(pairs.distances.max(initial=0)) + 1), "{},")
    least, most = _thousandths(np.array([pairs.scores.min(initial=0), pairs.scores.max(initial=0)])).tolist()
    scores = _table(range(least, most + 1), "{:.3f},", 1000)
    columns = (*pairs, accepted)
    starts = range(0, len(pairs.first), BLOCK)
    blocks = [[column[start : start + BLOCK] for column in columns] for start in starts]
    lines = partial(_lines, [keys, keys, distances, scores, np.array([b"0\r\n", b"1\r\n"])], least)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(",".join(HEADER).encode() + b"\r\n")
        for text in map_tasks(lines, blocks, cpus=cpus):
            file.write(text)


def _lines(tables: Sequence[NDArray[np.bytes_]], least: int, block: Sequence[NDArray[Any]]) -> bytes:
    """Rows whose cells are looked up in a table for each column; that of the scores begins with the least."""
    first, second, distances, scores, accepted = block
    columns = (first, second, distances, _thousandths(scores) - least, accepted.astype(np.int8))
    cells = [table[places] for table, places in zip(tables, columns, strict=True)]
    return b"".join(reduce(np.strings.add, cells).tolist())


def _thousandths(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(scores.astype(np.float64) * 1000).astype(np.int64)


def _table(values: range, form: str, divisor: int = 1) -> NDArray[np.bytes_]:
    """The text of every value, to be looked up."""
    return np.array([form.format(value / divisor if divisor > 1 else value).encode() for value in values])


def _quoted(names: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Keys as the csv module writes them: in quotes where a comma, a quote or the end of a line is in them."""
    special = np.zeros(len(names), bool)
    for character in (b",", b'"', b"\r", b"\n"):
        special |= np.strings.find(names, character) >= 0
    if not special.any():
        return names
    quoted = names.tolist()
    for row in np.flatnonzero(special).tolist():
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerow([quoted[row].decode()])
        quoted[row] = buffer.getvalue().encode().removesuffix(b"\r\n")
    return np.array(quoted)
