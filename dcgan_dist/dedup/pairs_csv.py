"""pairs.csv: every candidate in a row, made by columns, as a set of millions has tens of millions of candidates."""

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.files import whole_file

PAIRS_NAME = "pairs.csv"
HEADER = ("key_a", "key_b", "distance", "score", "duplicate")
BLOCK = 1 << 16
"""Rows in memory at once."""


def write_pairs_csv(path: Path, names: NDArray[np.bytes_], pairs: ScoredPairs, accepted: NDArray[np.bool_]) -> None:
    """Every candidate with distance, score and whether it is a duplicate (1 or 0), in the order of the shards.

    Args:
        path: of the file.
        names: (n,) keys of all rows, in UTF-8.
        pairs: candidates.
        accepted: (k,) which of them are duplicates.
    """
    keys = np.strings.add(_quoted(names), b",")
    distances = _table(range(int(pairs.distances.max(initial=0)) + 1), "{},")
    thousandths = np.rint(pairs.scores.astype(np.float64) * 1000).astype(np.int64)
    least = int(thousandths.min(initial=0))
    scores = _table(range(least, int(thousandths.max(initial=0)) + 1), "{:.3f},", 1000)
    flags = np.array([b"0\r\n", b"1\r\n"])
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        file.write(",".join(HEADER).encode() + b"\r\n")
        for start in range(0, len(pairs.first), BLOCK):
            part = slice(start, start + BLOCK)
            line = np.strings.add(keys[pairs.first[part]], keys[pairs.second[part]])
            line = np.strings.add(line, distances[pairs.distances[part]])
            line = np.strings.add(line, scores[thousandths[part] - least])
            file.write(b"".join(np.strings.add(line, flags[accepted[part].astype(int)]).tolist()))


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
