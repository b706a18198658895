"""How many samples copy a training image, and from what rate on that would have been found."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, hypergeom

HELD_OUT_SHARE = 0.001
"""At most this share of held-out images may lie beyond the threshold; a copy rate above it is too much."""
CHANCE = 0.01
"""Greatest probability that as many copies among held-out images would be called too many."""
THRESHOLDS = 6
"""At most so many are tried. Held-out images choose among them, so each may err with its share of CHANCE only."""
POWER = 0.95
"""With this probability the detection limit is found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """From what score on an image counts as a copy, and what the data itself shows there."""

    threshold: float
    """An image with a larger score is a copy."""
    held_out_copies: int
    """Held-out images beyond it, near duplicates of training images included."""
    held_out: int
    samples: int
    """Number of samples that will be looked at."""
    critical: int
    """So many copies among them are too many; more than `samples` where none is."""
    recognised: float
    """Share of the planted copies beyond the threshold."""
    limit: float | None
    """Detection limit: the least rate of planted copies that is found with 95 % power; None: not even 100 % is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyRate:
    """Samples that are more like a training image than held-out images are."""

    copies: int
    samples: int
    rate: float
    low: float
    """Lower end of the 95 % Clopper-Pearson interval of the rate."""
    high: float
    """Upper end."""
    p_value: float
    """Upper bound of the probability of at least as many copies, at any threshold tried, if samples were further held-out ones."""

    @property
    def too_many(self) -> bool:
        """Whether samples copy more than they may, and more than held-out images do."""
        return self.low > HELD_OUT_SHARE and self.p_value <= CHANCE


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a probability that covers it at least `confidence` of the time.

    Source: Clopper and Pearson, Biometrika 1934.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def exceedance_p_value(copies: int, samples: int, held_out_copies: int, held_out: int) -> float:
    """Probability that at least `copies` of the samples lie beyond a threshold taken from held-out images.

    Exact where samples and held-out images are exchangeable, whatever their distribution: the threshold is the held-out
    value that `held_out_copies` others exceed, and its own uncertainty is part of it. At least `copies` samples lie beyond
    it where, of the `copies + held_out_copies` largest values of both, at most `held_out_copies` are held-out ones.

    Source: Gumbel and von Schelling, Annals of Mathematical Statistics 1950.
    """
    if not copies:
        return 1.0
    return float(hypergeom.cdf(held_out_copies, samples + held_out, held_out, copies + held_out_copies))


def copy_rate(scores: NDArray[np.floating], calibration: Calibration) -> CopyRate:
    """Count the samples whose score (n,) says that they are copies."""
    copies = int((scores > calibration.threshold).sum())
    return _rate(copies, len(scores), calibration.held_out_copies, calibration.held_out)


def calibrate(
    held_out_scores: NDArray[np.floating],
    distinct: NDArray[np.bool_],
    planted_scores: NDArray[np.floating],
    samples: int,
) -> Calibration:
    """Choose the threshold, without a look at the samples.

    At most 0.1 % of the distinct held-out images lie beyond it. Of the thresholds that fulfil this, the one with the least
    detection limit is taken: a data set that repeats its own images wants a stricter one.

    Scores say how like its most similar training image each held-out image (p,), p at least 1, and each planted copy (c,)
    is; `distinct` (p,) which held-out images are no near duplicates of training images.
    """
    falling = np.sort(held_out_scores)[::-1]
    loosest = (
        np.sort(held_out_scores[distinct])[::-1][int(HELD_OUT_SHARE * distinct.sum())] if distinct.any() else falling[0]
    )
    last = int((held_out_scores > loosest).sum())
    places = {last, *np.geomspace(1, last, THRESHOLDS - 1).astype(int).tolist(), 0} if last else {0}
    choices = [_calibration(falling, beyond, planted_scores, samples) for beyond in sorted(places)]
    return min(choices, key=lambda choice: (choice.limit if choice.limit is not None else math.inf, -choice.recognised))


def _calibration(
    falling: NDArray[np.floating], beyond: int, planted_scores: NDArray[np.floating], samples: int
) -> Calibration:
    threshold = float(falling[beyond])
    above = int((falling > threshold).sum())  # fewer than `beyond` where scores are equal
    critical = critical_count(samples, above, len(falling))
    recognised = float((planted_scores > threshold).mean())
    return Calibration(
        threshold=threshold,
        held_out_copies=above,
        held_out=len(falling),
        samples=samples,
        critical=critical,
        recognised=recognised,
        limit=detection_limit(samples, critical, recognised, above / len(falling)),
    )


def critical_count(samples: int, held_out_copies: int, held_out: int) -> int:
    """The least number of copies that is too many; more than `samples` where none is."""
    enough, not_enough = samples + 1, 0
    while enough - not_enough > 1:  # the more copies, the clearer
        middle = (enough + not_enough) // 2
        too_many = _rate(middle, samples, held_out_copies, held_out).too_many
        enough, not_enough = (middle, not_enough) if too_many else (enough, middle)
    return enough


def power(rate: float, samples: int, critical: int, recognised: float, background: float) -> float:
    """Probability that at least the critical number of samples lies beyond the threshold, so that copies are found.

    A share `rate` of the samples are copies, of which `recognised` lie beyond it; the others are like held-out images, of
    which `background` do.
    """
    return float(binom.sf(critical - 1, samples, rate * recognised + (1 - rate) * background))


def detection_limit(samples: int, critical: int, recognised: float, background: float) -> float | None:
    """The least rate of copies that is found with 95 % power, to 1 % of itself; None where not even 100 % is."""
    low, high = 1e-6, 1.0
    if power(high, samples, critical, recognised, background) < POWER:
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        enough = power(middle, samples, critical, recognised, background) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def enough_images(calibration: Calibration, limit: float) -> tuple[int, int] | None:
    """Samples and held-out images with which the detection limit would be `limit`; None: not even 100 times as many are enough.

    The threshold, what is recognised beyond it and the share of held-out images there stay as they were measured. Held-out images
    are the harder to get: more of them only where more samples are not enough.
    """
    background = calibration.held_out_copies / calibration.held_out
    factors = np.geomspace(1, 100, 41).tolist()
    for more_held_out in (False, True):
        for factor in factors:
            samples = math.ceil(calibration.samples * factor)
            held_out = math.ceil(calibration.held_out * factor) if more_held_out else calibration.held_out
            critical = critical_count(samples, round(held_out * background), held_out)
            found = detection_limit(samples, critical, calibration.recognised, background)
            if found is not None and found <= limit:
                return samples, held_out
    return None


def _rate(copies: int, samples: int, held_out_copies: int, held_out: int) -> CopyRate:
    low, high = clopper_pearson(copies, samples)
    return CopyRate(
        copies=copies,
        samples=samples,
        rate=copies / samples,
        low=low,
        high=high,
        p_value=min(1.0, THRESHOLDS * exceedance_p_value(copies, samples, held_out_copies, held_out)),
    )
