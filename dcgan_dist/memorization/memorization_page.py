"""The report of the memorization check: for people who decide whether a generator may be used."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ecdf

from dcgan_dist.cli.html_page import (
    bullets,
    chart,
    facts,
    figure,
    folded,
    gallery,
    heading,
    page,
    paragraph,
    table,
    verdict_banner,
)
from dcgan_dist.cli.progress import percent
from dcgan_dist.memorization.check import Memorization
from dcgan_dist.memorization.copying import Calibration, power
from dcgan_dist.memorization.data_copying import SIGNIFICANT
from dcgan_dist.memorization.distances import band_half_width
from dcgan_dist.memorization.encoded_images import Thumbnails
from dcgan_dist.memorization.nearest_images import SPACES, Nearest
from dcgan_dist.quality.pictures import tile

SHOWN, PICTURED = 12, 8
"""Closest pairs of a gallery, and of the picture for other pages."""
RED, BLUE = "#c92a2a", "#1864ab"
UNITS = {
    "pixels": "L2 distance of 32x32 pixels",
    "code": "bits that differ",
    "features": "L2 distance of the code's real values",
}


def memorization_page(
    title: str,
    result: Memorization,
    samples: Thumbnails,
    train: Thumbnails,
    held_out: Thumbnails,
    *,
    unreadable: str = "",
) -> str:
    """HTML of everything that was measured; thumbnails (n, 3, 32, 32) as the check saw them.

    `unreadable` says how many images of which sets were left out; empty: none.
    """
    duplicates, calibration = result.duplicates, result.calibration
    copy_from = calibration.threshold if calibration else np.inf
    parts = [
        verdict_banner(result.verdict.verdict),
        bullets(f"{reason[0].upper()}{reason[1:]}." for reason in result.verdict.reasons),
        facts([*_facts(result), *([("Left out", f"{unreadable} images that cannot be read")] if unreadable else [])]),
        heading("Closest pairs"),
        paragraph(
            "Samples (left) with the training image (right) that each is most like, closest first; 1 is identical."
        ),
        _pair_gallery(samples, train, result.samples, copy_from),
    ]
    if not duplicates.all():
        caption = "The same for held-out images, which the generator has never seen: so much is alike by chance."
        parts += [paragraph(caption), _pair_gallery(held_out, train, result.held_out, shown=~duplicates)]
    if duplicates.any():
        caption = (
            f"Near duplicates of training images among the held-out ones, set aside first ({int(duplicates.sum()):,})."
        )
        parts += [paragraph(caption), _pair_gallery(held_out, train, result.held_out, shown=duplicates)]
    tests = _tests(result, calibration) if calibration else []
    return page(title, *parts, *tests, folded("Distances to the nearest training image", *_spaces(result)))


def closest_pairs(samples: Thumbnails, train: Thumbnails, nearest: Nearest) -> Image.Image:
    """The samples most like a training image, each beside it: a picture for other pages."""
    best = _closest(nearest, PICTURED)
    pairs = np.concatenate([samples[best], train[nearest.most_similar[best]]], axis=3)  # (k, 3, 32, 64)
    return tile(torch.from_numpy(pairs), columns=4, scale=3)


def _facts(result: Memorization) -> list[tuple[str, str]]:
    statistics, calibration = result.statistics, result.calibration
    removed = statistics["near_duplicates_removed"]
    compared = f"{statistics['samples']:,} samples with {statistics['train']:,} training images"
    compared += ", also mirrored" if statistics["flip"] else ""
    if calibration is None:
        return [("Compared", compared), ("By chance", "unknown: there is no held-out image to compare with")]
    rate, limit = statistics["copy_rate"], calibration.limit
    kept = result.held_out.scores[~result.duplicates]
    closest = (
        f"{kept.max():.3f}, the closest of {len(kept):,} held-out images" if len(kept) else "no held-out image is left"
    )
    aside = f"; {removed:,} near duplicates of training images are set aside" if removed else ""
    least = "no share of copies" if limit is None else f"copies in at least {percent(limit)} of the samples"
    alike = f"{calibration.held_out_copies:,} of {calibration.held_out:,} held-out images, which cannot be copies"
    flagged = f"{rate['copies']:,} samples, and {alike}"
    return [
        ("Compared", compared),
        (
            "Closest sample",
            f"score {result.samples.scores.max():.3f}; 1 is identical, above {calibration.threshold:.3f} flagged",
        ),
        ("By chance", f"{closest}{aside}"),
        ("Flagged", flagged),
        ("Sensitivity", f"{least} would stand out from held-out images (95 % power)"),
    ]


def _tests(result: Memorization, calibration: Calibration) -> list[Markup]:
    """Both tests that the verdict rests on, one outcome each, and how sensitive the first is."""
    statistics = result.statistics
    rate, c_t = statistics["copy_rate"], statistics["c_t"]
    copies, many = rate["copies"], calibration.critical
    allowed = f"{many:,}" if many <= calibration.samples else "more than all"
    background = f"{calibration.held_out_copies:,} of {calibration.held_out:,} held-out images"
    drawn = f"{percent(rate['low'])} to {percent(rate['high'])} of all that it draws, 95 % interval"
    measured = f"{copies:,} flagged ({drawn}); {background}"
    rows = [("copies among the samples", measured, allowed, "found" if copies >= many else "not found")]
    if c_t:
        nearer = c_t["p_value"] <= SIGNIFICANT
        alike = c_t["p_exchangeable"] > SIGNIFICANT
        outcome = "not found" if not nearer else "found" if alike else "not valid: held-out images are of another kind"
        measured = f"C_T {c_t['c_t']:.1f}, p {c_t['p_value']:.3g} ({c_t['permutations']:,} permutations)"
        if c_t["train"] < c_t["train_given"]:
            measured += f", {c_t['train']:,} of {c_t['train_given']:,} training images"
        rows.append(
            ("samples lie nearer to training images than to held-out ones", measured, f"p {SIGNIFICANT}", outcome)
        )
    planted = [
        (kind, percent(copies_made["recognised"], 1), _percent(copies_made["detection_limit"]))
        for kind, copies_made in statistics["planted"].items()
    ]
    caption = (
        "Copies made by us and hidden among samples: the share that is recognised, and the least rate that is found."
    )
    return [
        heading("What was tested"),
        table(("test", "measured", "too much from", "outcome"), rows),
        table(("planted copies", "recognised", "found from"), planted, caption),
        gallery(
            [
                figure(
                    chart(_power_curve(calibration)), "How surely copies are found, by their rate among the samples."
                ),
                figure(
                    chart(_scores(result)), "How like the most similar training image: samples beside held-out images."
                ),
            ],
            "charts",
        ),
    ]


def _spaces(result: Memorization) -> list[Markup]:
    charts, rows = [], []
    for space in SPACES:
        measured = result.statistics["spaces"][space]
        charts.append(figure(chart(_distances(result, space)), f"{space}: distribution functions with 95 % bands."))
        row: list[Any] = [space, measured["hubs"]["most"], percent(measured["hubs"]["share_of_ten"])]
        if "mann_whitney" in measured:
            ranks, real = measured["mann_whitney"], measured["authenticity"]
            row += [percent(measured["hubs_of_held_out"]["share_of_ten"]), percent(ranks["share_below"], 1)]
            row.append(percent(measured["nearer_than_threshold"]["rate"]))
            row.append(
                f"{percent(real['samples'], 1)} - {percent(real['held_out'], 1)} = {percent(real['difference'], 1)}"
            )
        rows.append(row)
    headers = ["space", "most frequent neighbour", "ten most frequent", "the same of held-out"]
    headers += ["samples nearer", "nearer than 0.1 % of held-out", "authenticity"]
    meanings = (
        "most frequent neighbour: samples whose nearest training image is one and the same; ten most frequent: share of "
        "samples that the ten most frequent ones take, where much more than of held-out images speaks of copies",
        "samples nearer: share of pairs of a sample and a held-out image in which the sample lies nearer; smooth samples lie "
        "nearer without copying, so the verdict does not rest on it",
        "authenticity: share of images farther from their nearest training image than that one is from its own nearest, "
        "samples minus held-out images",
    )
    return [gallery(charts, "charts"), table(headers, rows), bullets(meanings)]


def _percent(value: float | None) -> str:
    return "none" if value is None else percent(value)


def _power_curve(calibration: Calibration) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        rates = np.geomspace(1e-4, 0.1, 60)
        background = calibration.held_out_copies / calibration.held_out
        curve = [power(r, calibration.samples, calibration.critical, calibration.recognised, background) for r in rates]
        axes.plot(100 * rates, curve, color=BLUE)
        axes.axhline(0.95, color="#999999", linewidth=1, linestyle="--")
        axes.axvline(1.0, color=RED, linewidth=1, linestyle="--", label="largest allowed detection limit")
        axes.set(xscale="log", xlabel="copies among the samples, %", ylabel="power")

    return draw


def _scores(result: Memorization) -> Callable[[Axes], None]:
    scores = {"samples": result.samples.scores, "held-out images": result.held_out.scores}
    together = np.concatenate([*scores.values()])
    bins = np.linspace(float(together.min()), float(together.max()), 60).tolist()

    def draw(axes: Axes) -> None:
        for (name, values), colour in zip(scores.items(), (RED, BLUE), strict=True):
            weights = np.full(len(values), 100 / len(values))
            axes.hist(values, bins, weights=weights, histtype="step", color=colour, label=name)
        if result.calibration is not None:
            axes.axvline(
                result.calibration.threshold, color="#555555", linestyle="--", linewidth=1, label="flagged beyond"
            )
        axes.set(xlabel="score of the verifier", ylabel="% of images", yscale="log")

    return draw


def _distances(result: Memorization, space: str) -> Callable[[Axes], None]:
    distances = {"samples": result.samples.distances[space]}
    if not result.duplicates.all():
        distances["held-out images"] = result.held_out.distances[space][~result.duplicates]

    def draw(axes: Axes) -> None:
        for (name, values), colour in zip(distances.items(), (RED, BLUE), strict=False):
            function, half = ecdf(values).cdf, band_half_width(len(values))
            at = np.unique(np.linspace(0, len(function.quantiles) - 1, 400).astype(int))
            x, y = function.quantiles[at], function.probabilities[at]
            axes.step(x, y, where="post", color=colour, label=name)
            band = np.clip(y - half, 0, 1), np.clip(y + half, 0, 1)
            axes.fill_between(x, *band, step="post", color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel=UNITS[space], ylabel="share of images up to there")

    return draw


def _pair_gallery(
    images: Thumbnails,
    train: Thumbnails,
    nearest: Nearest,
    copy_from: float = np.inf,
    shown: NDArray[np.bool_] | None = None,
) -> Markup:
    """The most similar pairs side by side; of all images, or of those that are `shown`, (n,)."""
    return gallery(
        figure(
            tile(
                torch.from_numpy(np.concatenate([images[[row]], train[nearest.most_similar[[row]]]])),
                columns=2,
                scale=1,
            ),
            f"score {nearest.scores[row]:.3f}" + (", flagged" if nearest.scores[row] > copy_from else ""),
            f"An image beside the training image that it is most like, score {nearest.scores[row]:.3f}",
        )
        for row in _closest(nearest, SHOWN, shown)
    )


def _closest(nearest: Nearest, count: int, shown: NDArray[np.bool_] | None = None) -> list[int]:
    """Rows of the most similar pairs, best first."""
    scores = nearest.scores if shown is None else np.where(shown, nearest.scores, -np.inf)
    return [int(row) for row in np.argsort(-scores, kind="stable")[:count] if np.isfinite(scores[row])]
