"""Shares of a number of trials, with how sure they are."""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any


@dataclass(frozen=True, slots=True)
class Proportion:
    """k of n, with Wilson's 95 % interval."""

    k: int
    n: int

    @property
    def share(self) -> float:
        """k / n."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval.

        Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
        """
        z2 = 1.959964**2
        centre = (self.k + z2 / 2) / (self.n + z2)
        half = sqrt(z2) / (self.n + z2) * sqrt(self.k * (self.n - self.k) / self.n + z2 / 4)
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_json(self) -> dict[str, Any]:
        """k, n, share, low and high."""
        low, high = self.interval
        return {**asdict(self), "share": self.share, "low": low, "high": high}
