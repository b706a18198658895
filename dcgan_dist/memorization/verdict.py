"""The verdict of the memorization check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.progress import percent
from dcgan_dist.memorization.copying import HELD_OUT_SHARE, Calibration, CopyRate, enough_images
from dcgan_dist.memorization.data_copying import SIGNIFICANT, DataCopying

LEAST_HELD_OUT = 1000
LARGEST_LIMIT = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether a generator copies, and why that is said."""

    verdict: Literal["pass", "fail", "inconclusive"]
    reasons: tuple[str, ...]
    """One sentence each."""


def decide(
    held_out: int,
    removed: int,
    rate: CopyRate | None,
    calibration: Calibration | None,
    copying: DataCopying | None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Judge what was measured.

    `fail` comes first: both of its tests hold their false alarms however few held-out images there are, so copies that were
    found are found. What is missing makes a verdict `inconclusive` only where nothing was found: there is no rate without
    held-out images, and no data-copying test with too few. Of the held-out images near duplicates of training images were
    removed; `doubts` are further reasons why nothing that was found means nothing.
    """
    failures, doubts = [], [*doubts]
    if rate is not None and rate.too_many:
        failures.append(
            f"{rate.copies:,} of {rate.samples:,} samples copy a training image: {percent(rate.rate)}, at least "
            f"{percent(rate.low)} (95 % confidence); {percent(HELD_OUT_SHARE, 1)} is allowed"
        )
    if copying is not None and copying.significant:
        nearer = f"samples lie nearer to training images than to held-out ones (C_T {copying.c_t:.1f}, p {copying.p_value:.3g}{copying.subset})"
        if copying.exchangeable:
            failures.append(nearer)
        else:
            doubts.append(
                f"{nearer}, but held-out images differ from training images by themselves (p {copying.p_exchangeable:.3g}): "
                "hold out images at random from the same source"
            )
    if failures:
        return Verdict(verdict="fail", reasons=tuple(failures))

    if held_out < LEAST_HELD_OUT:
        doubts.append(
            f"only {held_out:,} held-out images are left after {removed:,} near duplicates of training images were removed, "
            f"{LEAST_HELD_OUT:,} are needed: give more images that the generator has not seen"
        )
    if not held_out:
        doubts.append(
            "without held-out images it cannot be told what is alike by chance, nor how few copies would be found"
        )
    elif calibration is None or calibration.limit is None:
        doubts.append("not even a generator that only copies would be found with so few images")
    elif calibration.limit > LARGEST_LIMIT:
        doubts.append(
            f"copies in fewer than {percent(calibration.limit)} of the samples could go unnoticed (95 % power), "
            f"the aim is {percent(LARGEST_LIMIT, 0)}: {_remedy(calibration)}"
        )
    if doubts:
        if rate is not None:
            doubts.insert(
                0, f"{rate.copies:,} of {rate.samples:,} samples are flagged as copies, which decides nothing yet"
            )
        return Verdict(verdict="inconclusive", reasons=tuple(doubts))
    assert rate is not None
    assert calibration is not None
    return Verdict(verdict="pass", reasons=tuple(_reasons_to_pass(rate, calibration, copying)))


def _remedy(calibration: Calibration) -> str:
    """How many images would be enough, in two digits."""
    enough = enough_images(calibration, LARGEST_LIMIT)
    if enough is None:
        return "give many more samples (n) and held-out images"
    samples, held_out = (int(float(f"{1.05 * count:.1e}")) for count in enough)
    more = f" and {held_out:,} held-out images" if enough[1] > calibration.held_out else ""
    if calibration.held_out_copies > LARGEST_LIMIT * calibration.held_out:
        more += ", or train and check on images without near duplicates"
    return f"give about {samples:,} samples (n){more}"


def _reasons_to_pass(rate: CopyRate, calibration: Calibration, copying: DataCopying | None) -> list[str]:
    """What speaks for a generator: each test that found nothing, and how little it would have found."""
    assert calibration.limit is not None
    reasons = [
        f"{rate.copies:,} of {rate.samples:,} samples copy a training image ({percent(rate.rate)}), no more than held-out images "
        f"do ({calibration.held_out_copies:,} of {calibration.held_out:,})",
        f"copies in {percent(calibration.limit)} of the samples or more would be found (95 % power)",
    ]
    if copying is not None:
        reasons.append(
            f"C_T {copying.c_t:.1f} is not significant at {SIGNIFICANT} (p {copying.p_value:.2g}{copying.subset})"
        )
    return reasons
