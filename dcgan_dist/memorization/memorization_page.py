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

from dcgan_dist.cli.html_page import banner, bullets, chart, figure, heading, page, paragraph, table
from dcgan_dist.memorization.check import Memorization
from dcgan_dist.memorization.copying import Calibration, power
from dcgan_dist.memorization.data_copying import SIGNIFICANT
from dcgan_dist.memorization.distances import band_half_width
from dcgan_dist.memorization.nearest_images import SPACES, Nearest
from dcgan_dist.quality.pictures import tile

Pixels = NDArray[np.uint8]
SHOWN = 16
RED, BLUE = "#c92a2a", "#1864ab"
KINDS = {"pass": "good", "fail": "bad", "inconclusive": "unsure"}
UNITS = {
    "pixels": "L2 distance of 32x32 pixels",
    "code": "bits that differ",
    "features": "L2 distance of the code's real values",
}


def memorization_page(title: str, result: Memorization, samples: Pixels, train: Pixels, held_out: Pixels) -> str:
    """HTML of everything that was measured; thumbnails (n, 3, 32, 32) as the check saw them."""
    statistics, duplicates = result.statistics, result.duplicates
    counts = [
        ("samples", statistics["samples"]),
        ("training images", statistics["train"]),
        ("held-out images", statistics["held_out"]),
        ("near duplicates of training images among these, removed", statistics["near_duplicates_removed"]),
    ]
    side_by_side = (
        "In each pair the training image is on the right. The same places of both galleries have the same rank."
    )
    parts = [
        banner(f"Verdict: {result.verdict.verdict}", KINDS[result.verdict.verdict]),
        bullets(result.verdict.reasons),
        table(("images", "number"), counts),
        *_copies(result),
        heading("Most similar pairs"),
        paragraph(side_by_side),
        figure(_pairs(samples, train, result.samples), "Samples, most similar first."),
    ]
    if not duplicates.all():
        caption = "without near duplicates of training images, most similar first: what is alike by chance."
        parts.append(figure(_pairs(held_out, train, result.held_out, ~duplicates), f"Held-out images {caption}"))
    if duplicates.any():
        caption = f"Near duplicates that were removed from the held-out images ({int(duplicates.sum()):,})."
        parts.append(figure(_pairs(held_out, train, result.held_out, duplicates), caption))
    return page(title, *parts, *_spaces(result))


def _copies(result: Memorization) -> list[Markup]:
    statistics, calibration = result.statistics, result.calibration
    if calibration is None:
        return [paragraph("There is no held-out image to compare with.")]
    rate, c_t = statistics["copy_rate"], statistics["c_t"]
    chance = f"so many by chance: p {rate['p_value']:.3g}; {calibration.critical:,} are too many"
    beyond = f"of {calibration.held_out:,}, those removed included; score above {calibration.threshold:.4f}"
    limit = "least rate of planted copies that is found with 95 % power"
    rows: list[tuple[Any, ...]] = [
        ("copy rate of the samples", f"{rate['rate']:.3%}", f"{rate['low']:.3%} to {rate['high']:.3%} (95 %)"),
        ("copies among samples", rate["copies"], chance),
        ("copies among held-out images", calibration.held_out_copies, beyond),
        ("detection limit", _percent(calibration.limit), limit),
    ]
    for kind, planted in statistics["planted"].items():
        recognised = f"{planted['recognised']:.1%} recognised"
        rows.append((f"planted, {kind}", _percent(planted["detection_limit"]), recognised))
    if c_t:
        by_permutations = (
            f"p {c_t['p_value']:.3g} by {c_t['permutations']:,} permutations, whose mean C_T is {c_t['permuted_mean']:.2f}; "
            f"{len(c_t['cells'])} cells; normal approximation p {c_t['p_normal']:.2g}"
        )
        alike = c_t["p_exchangeable"] > SIGNIFICANT, f"p {c_t['p_exchangeable']:.3g}"
        rows += [("C_T", float(c_t["c_t"]), by_permutations), ("training and held-out images are alike", *alike)]
    return [
        heading("Copies"),
        table(("what", "value", ""), rows),
        figure(
            chart(_power_curve(calibration)),
            "How surely copies are found, by their rate (planted copies of all kinds).",
        ),
        figure(chart(_scores(result)), "How like the most similar training image: samples beside held-out images."),
    ]


def _spaces(result: Memorization) -> list[Markup]:
    charts, rows = [], []
    for space in SPACES:
        facts = result.statistics["spaces"][space]
        charts.append(figure(chart(_distances(result, space)), f"{space}: distribution functions with 95 % bands."))
        row: list[Any] = [space, facts["hubs"]["most"], f"{facts['hubs']['share_of_ten']:.2%}"]
        if "mann_whitney" in facts:
            ranks, real = facts["mann_whitney"], facts["authenticity"]
            row += [f"{facts['hubs_of_held_out']['share_of_ten']:.2%}", ranks["z"], f"{ranks['share_below']:.1%}"]
            row.append(f"{facts['nearer_than_threshold']['rate']:.2%}")
            row.append(f"{real['samples']:.1%} - {real['held_out']:.1%} = {real['difference']:+.1%}")
        rows.append(row)
    headers = ["space", "most frequent neighbour", "ten most frequent", "the same of held-out"]
    headers += ["Mann-Whitney z", "samples nearer", "nearer than 0.1 % of held-out", "authenticity"]
    meaning = (
        "z is negative where samples lie nearer to training images than held-out images do. Smooth samples do so without "
        "copying; the verdict therefore rests on copies that a verifier recognises and on C_T by permutations."
    )
    title = heading("Distances to the nearest training image")
    return [title, *charts, table(headers, rows), paragraph(meaning)]


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.2%}"


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
                result.calibration.threshold, color="#555555", linestyle="--", linewidth=1, label="copy beyond"
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


def _pairs(images: Pixels, train: Pixels, nearest: Nearest, shown: NDArray[np.bool_] | None = None) -> Image.Image:
    """The most similar pairs side by side, four to a row; of all images, or of those that are `shown`, (n,)."""
    scores = nearest.scores if shown is None else np.where(shown, nearest.scores, -np.inf)
    best = [row for row in np.argsort(-scores, kind="stable")[:SHOWN] if np.isfinite(scores[row])]
    pairs = np.concatenate([images[best], train[nearest.most_similar[best]]], axis=3)  # (k, 3, 32, 64)
    return tile(torch.from_numpy(pairs), columns=4, scale=3)
