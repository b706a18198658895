"""unreadable.csv in the folder of --out: the images that a job left out because they could not be read."""

import csv
from collections.abc import Sequence
from pathlib import Path

from dcgan_dist.files import whole_file

UNREADABLE_NAME = "unreadable.csv"


def write_unreadable_csv(folder: Path, header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    """Name what was left out in one step; without any row there is no such file, nor that of an earlier run.

    Args:
        folder: of results; it exists.
        header: names of the columns.
        rows: one for each image.
    """
    path = folder / UNREADABLE_NAME
    if not rows:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
