"""Figures for people: bars, durations and percentages."""

import sys

from tqdm import tqdm


def progress_bar(total: int, name: str, unit: str = "img") -> tqdm:
    """A bar with rate and remaining time; in a log, a line now and then."""
    return tqdm(total=total, unit=unit, desc=name, mininterval=0.5 if sys.stderr.isatty() else 10)


def ranks_text(ranks: int | str) -> str:
    """1 rank, 2 ranks, 2:8 ranks."""
    return f"{ranks} rank" + "s" * (str(ranks) != "1")


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def percent(share: float, digits: int = 2) -> str:
    """A share of 1 as a percentage: 5.11 %."""
    return f"{100 * share:.{digits}f} %"
