"""The report of the memorization check: for people who decide whether a generator may be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.cli.html_page import banner, bullets, chart, figure, heading, page, paragraph, table
from dcgan_dist.memorization.check import Memorization
from dcgan_dist.memorization.copying import power
from dcgan_dist.memorization.data_copying import SIGNIFICANT
from dcgan_dist.memorization.distances import band_half_width, ecdf
from dcgan_dist.memorization.nearest_images import SPACES
from dcgan_dist.quality.pictures import tile

Pixels = NDArray[np.uint8]
SHOWN = 16
KINDS = {"pass": "good", "fail": "bad", "inconclusive": "unsure"}
UNITS = {
    "pixels": "L2 distance of 32x32 pixels",
    "code": "bits that differ",
    "features": "L2 distance of the code's real values",
}


def memorization_page(title: str, found: Memorization, samples: Pixels, train: Pixels, held_out: Pixels) -> str:
    """HTML of everything that was found; thumbnails (n, 3, 32, 32) as the check saw them."""
    facts = found.statistics
    parts = [
        banner(f"Verdict: {found.verdict.verdict}", KINDS[found.verdict.verdict]),
        bullets(found.verdict.reasons),
        table(
            ("images", "number"),
            [
                ("samples", facts["samples"]),
                ("training images", facts["train"]),
                ("held-out images", facts["held_out"]),
                ("near duplicates of training images among these, removed", facts["near_duplicates_removed"]),
            ],
        ),
        *_copies(found),
        heading("Most similar pairs"),
        paragraph(
            "In each pair the training image is on the right. The same places of both galleries have the same rank."
        ),
        figure(
            _pairs(samples, train, found.samples.scores, found.samples.most_similar), "Samples, most similar first."
        ),
    ]
    if not found.duplicates.all():
        kept = np.where(found.duplicates, -np.inf, found.held_out.scores)
        parts.append(
            figure(
                _pairs(held_out, train, kept, found.held_out.most_similar),
                "Held-out images without near duplicates of training images, most similar first: what is alike by chance.",
            )
        )
    if found.duplicates.any():
        removed = np.where(found.duplicates, found.held_out.scores, -np.inf)
        parts.append(
            figure(
                _pairs(held_out, train, removed, found.held_out.most_similar),
                f"Near duplicates that were removed from the held-out images ({int(found.duplicates.sum()):,}).",
            )
        )
    parts += _spaces(found)
    return page(title, *parts)


def _copies(found: Memorization) -> list[Markup]:
    facts, calibration = found.statistics, found.calibration
    if calibration is None:
        return [paragraph("There is no held-out image to compare with.")]
    rate, c_t = facts["copy_rate"], facts["c_t"]
    rows: list[tuple[Any, ...]] = [
        ("copy rate of the samples", f"{rate['rate']:.3%}", f"{rate['low']:.3%} to {rate['high']:.3%} (95 %)"),
        (
            "copies among samples",
            rate["copies"],
            f"so many by chance: p {rate['p_value']:.3g}; {calibration.critical:,} are too many",
        ),
        (
            "copies among held-out images",
            calibration.held_out_copies,
            f"of {calibration.held_out:,}, those removed included; score above {calibration.threshold:.4f}",
        ),
        ("detection limit", _percent(calibration.limit), "least rate of planted copies that is found with 95 % power"),
    ]
    for kind, one in facts["planted"].items():
        rows.append((f"planted, {kind}", _percent(one["detection_limit"]), f"{one['recognised']:.1%} recognised"))
    if c_t:
        rows.append(
            (
                "C_T",
                float(c_t["c_t"]),
                f"p {c_t['p_value']:.3g} by {c_t['permutations']:,} permutations, whose mean C_T is {c_t['permuted_mean']:.2f}; "
                f"{len(c_t['cells'])} cells; normal approximation p {c_t['p_normal']:.2g}",
            )
        )
        rows.append(
            (
                "training and held-out images are alike",
                c_t["p_exchangeable"] > SIGNIFICANT,
                f"p {c_t['p_exchangeable']:.3g}",
            )
        )
    return [
        heading("Copies"),
        table(("what", "value", ""), rows),
        figure(chart(_power_curve(found)), "How surely copies are found, by their rate (planted copies of all kinds)."),
        figure(chart(_scores(found)), "How like the most similar training image: samples beside held-out images."),
    ]


def _spaces(found: Memorization) -> list[Markup]:
    parts = [heading("Distances to the nearest training image")]
    rows = []
    for space in SPACES:
        facts = found.statistics["spaces"][space]
        parts.append(figure(chart(_distances(found, space)), f"{space}: distribution functions with 95 % bands."))
        row: list[Any] = [space, facts["hubs"]["most"], f"{facts['hubs']['share_of_ten']:.2%}"]
        if "mann_whitney" in facts:
            test, near, real = facts["mann_whitney"], facts["nearer_than_threshold"], facts["authenticity"]
            row += [f"{facts['hubs_of_held_out']['share_of_ten']:.2%}", test["z"], f"{test['share_below']:.1%}"]
            row += [
                f"{near['rate']:.2%}",
                f"{real['samples']:.1%} - {real['held_out']:.1%} = {real['difference']:+.1%}",
            ]
        rows.append(row)
    headers = ["space", "most frequent neighbour", "ten most frequent", "the same of held-out"]
    headers += ["Mann-Whitney z", "samples nearer", "nearer than 0.1 % of held-out", "authenticity"]
    parts.append(table(headers, rows))
    parts.append(
        paragraph(
            "z is negative where samples lie nearer to training images than held-out images do. Smooth samples do so without "
            "copying; the verdict therefore rests on copies that a verifier recognises and on C_T by permutations."
        )
    )
    return parts


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.2%}"


def _power_curve(found: Memorization) -> Callable[[Axes], None]:
    calibration = found.calibration
    assert calibration is not None

    def draw(axes: Axes) -> None:
        rates = np.geomspace(1e-4, 0.1, 60)
        background = calibration.held_out_copies / calibration.held_out
        curve = [power(r, calibration.samples, calibration.critical, calibration.recognised, background) for r in rates]
        axes.plot(100 * rates, curve, color="#1864ab")
        axes.axhline(0.95, color="#999999", linewidth=1, linestyle="--")
        axes.axvline(1.0, color="#c92a2a", linewidth=1, linestyle="--", label="largest allowed detection limit")
        axes.set(xscale="log", xlabel="copies among the samples, %", ylabel="power")

    return draw


def _scores(found: Memorization) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        every = np.concatenate([found.samples.scores, found.held_out.scores])
        bins = np.linspace(float(every.min()), float(every.max()), 60)
        for name, scores, colour in (
            ("samples", found.samples.scores, "#c92a2a"),
            ("held-out images", found.held_out.scores, "#1864ab"),
        ):
            axes.hist(
                scores,
                bins.tolist(),
                weights=np.full(len(scores), 100 / len(scores)),
                histtype="step",
                color=colour,
                label=name,
            )
        if found.calibration is not None:
            axes.axvline(found.calibration.threshold, color="#555555", linestyle="--", linewidth=1, label="copy beyond")
        axes.set(xlabel="score of the verifier", ylabel="% of images", yscale="log")

    return draw


def _distances(found: Memorization, space: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        sets = [("samples", found.samples.distances[space], "#c92a2a")]
        if not found.duplicates.all():
            sets.append(("held-out images", found.held_out.distances[space][~found.duplicates], "#1864ab"))
        for name, values, colour in sets:
            x, y = ecdf(values)
            at = np.unique(np.linspace(0, len(x) - 1, 400).astype(int))
            half = band_half_width(len(x))
            axes.step(x[at], y[at], where="post", color=colour, label=name)
            axes.fill_between(
                x[at],
                np.clip(y[at] - half, 0, 1),
                np.clip(y[at] + half, 0, 1),
                step="post",
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
        axes.set(xlabel=UNITS[space], ylabel="share of images up to there")

    return draw


def _pairs(images: Pixels, train: Pixels, scores: NDArray[np.floating], most_similar: NDArray[np.int64]) -> Image.Image:
    """Pairs side by side, four to a row."""
    best = [row for row in np.argsort(-scores, kind="stable")[:SHOWN] if np.isfinite(scores[row])]
    pairs = np.concatenate([images[best], train[most_similar[best]]], axis=3)  # (k, 3, 32, 64)
    return tile(torch.from_numpy(pairs), columns=4, scale=3)
