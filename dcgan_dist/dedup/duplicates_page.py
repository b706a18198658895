"""The report of a de-duplication: figures first, then pictures to judge them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import ImageOps

from dcgan_dist.cli.html_page import bullets, chart, figure, heading, page, paragraph, table
from dcgan_dist.dedup.choice import Choice
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.gallery import SHOWN, read_rows, strip
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.null_pairs import FlipTest
from dcgan_dist.dedup.pair_files import ScoredPairs

FLIPS = {"mirror": "in a mirror, at most", "upside_down": "upside down, at least"}
CLUSTERS, WORST, REJECTED = 36, 24, 12
"""Pictures of each section."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """All that the report shows."""

    corpus: Corpus
    names: NDArray[np.bytes_]
    """(n,) key of every row, unique."""
    pairs: ScoredPairs
    accepted: NDArray[np.bool_]
    """(k,) pairs that are duplicates."""
    choice: Choice
    flips: dict[str, FlipTest]
    """By name: mirror, upside_down."""
    flips_accepted: dict[str, NDArray[np.bool_]]
    """Which of the pairs that they found would be duplicates."""
    null_distances: NDArray[np.int64]
    """Histogram over random pairs."""
    result: dict[str, Any]
    """What result.json holds."""
    faults: dict[int, str]
    threshold: float | None
    """Score from which a pair is a duplicate; None: the distance alone decides."""

    def name(self, row: int) -> str:
        """Key of a row."""
        return bytes(self.names[row]).decode()


def build_report(found: Findings) -> str:
    """The HTML page."""
    result, radius = found.result, found.result["radius"]
    removed = result["near_duplicates"]
    share = removed / max(1, result["thinned_images"])
    rng = np.random.default_rng(0)
    parts = [
        paragraph(
            f"{removed:,} of {result['thinned_images']:,} images ({share:.2%}) are near duplicates of others and go; "
            f"{result['kept']:,} stay. Codes: {result['codes']}, {result['code_bits']} bits; candidates within {radius} bits"
            + (
                f", duplicates from a score of {found.threshold:g}."
                if found.threshold is not None
                else ", all duplicates."
            )
        ),
        table(("what", "figure"), _figures(result)),
        *_charts(found),
        heading("Groups"),
        table(("members", "leader clusters", "connected components"), _sizes(found.choice)),
        paragraph(
            f"{result['chains']:,} of {result['components']:,} connected components are wider than the radius (largest "
            f"diameter {result['largest_diameter']} bits): chains, in which the ends are joined by what lies between. "
            "Nothing goes because of a chain: every image that goes is a near duplicate of the one that stays for it."
        ),
        heading("Least sure first"),
        paragraph("Accepted pairs with the lowest scores; by them the worst of the list can be judged."),
        *_pair_strips(found, _extreme(found, found.accepted, WORST, lowest=True)),
    ]
    if not found.accepted.all():
        parts += [
            paragraph("Rejected pairs with the highest scores:"),
            *_pair_strips(found, _extreme(found, ~found.accepted, REJECTED, lowest=False)),
        ]
    parts += [
        heading("Found in a mirror"),
        paragraph(
            "Pairs of a mirrored image (left) and another that would be accepted: mirrored copies, or accidents."
        ),
        *_mirror_strips(found),
        heading("Clusters drawn at random"),
        paragraph("The first image of each stays (all of them, where several are protected); the others go."),
        *_cluster_strips(found, rng),
    ]
    if found.faults:
        parts += [
            heading("Unreadable"),
            bullets(f"{found.name(row)}: {fault}" for row, fault in sorted(found.faults.items())[:50]),
        ]
    return page("Near duplicates", *parts)


def _charts(found: Findings) -> list[Markup]:
    """Images removed, distances and scores, each with what it shows."""
    result = found.result
    return [
        heading("Removed against the radius"),
        figure(
            chart(lambda axes: _draw_removed(axes, result["removed_by_radius"])), "Images that would go at each radius."
        ),
        heading("Distances against the null"),
        figure(
            chart(lambda axes: _draw_distances(axes, found)),
            "Pairs at each Hamming distance. Random pairs, and pairs that images find upside down, are unrelated; so are those "
            "found in a mirror, except copies that really are mirrored. All are scaled to all pairs of the images.",
        ),
        heading("Scores of candidates"),
        figure(
            chart(lambda axes: _draw_scores(axes, found)),
            "How alike the verifier finds the images of each candidate pair, and of the pairs that flipped images find.",
        ),
    ]


def _figures(result: dict[str, Any]) -> list[tuple[str, Any]]:
    entropy = result["entropy"]
    return [
        ("images searched", result["images"]),
        ("of these protected", result["protected_images"]),
        ("candidate pairs", result["candidate_pairs"]),
        ("accepted pairs", result["duplicate_pairs"]),
        ("of these with a protected image", result["duplicate_pairs_with_protected"]),
        ("images removed", result["near_duplicates"]),
        ("images that could not be read", result["unreadable"]),
        ("leader clusters", result["clusters"]),
        ("largest cluster", result["largest_cluster"]),
        *((f"false among the accepted, by images {words}", _discovery(result, flip)) for flip, words in FLIPS.items()),
        ("collision entropy of the code", f"at least {entropy['collision_entropy_bits']:.1f} bits"),
        ("degrees of freedom of the code", entropy["degrees_of_freedom"]),
        ("coder", result["coder"][:16]),
        ("manifests", ", ".join(value[:12] for value in result["manifests"].values())),
    ]


def _discovery(result: dict[str, Any], flip: str) -> str:
    found = result["false_discovery"][flip]
    return f"{found['share']:.2%} (95 % bound {found['bound']:.2%}): {found['accepted']} accepted in {found['queries']:,} searches"


def _draw_removed(axes: Any, removed: list[tuple[int, int]]) -> None:
    axes.plot(*zip(*removed, strict=True), marker="o", markersize=3)
    axes.set_xlabel("radius in bits")
    axes.set_ylabel("images removed")
    axes.set_ylim(bottom=0)


def _draw_distances(axes: Any, found: Findings) -> None:
    n, bits = len(found.corpus), len(found.null_distances) - 1
    radius = found.result["radius"]
    all_pairs = n * (n - 1) / 2
    near = np.arange(radius + 1)

    def histogram(distances: NDArray) -> NDArray:
        return np.bincount(distances, minlength=radius + 1).astype(float)

    _line(
        axes, np.arange(bits + 1), found.null_distances / max(1, found.null_distances.sum()) * all_pairs, "random pairs"
    )
    for name, flip in found.flips.items():
        _line(axes, near, histogram(flip.found.distances) * flip.expected(1), f"found by images {_words(name)}")
    _line(axes, near, histogram(found.pairs.distances), "candidates")
    _line(axes, near, histogram(found.pairs.distances[found.accepted]), "accepted")
    axes.axvline(radius, color="grey", linestyle=":", linewidth=1)
    _logarithmic(axes)
    axes.set_xlabel("Hamming distance in bits")
    axes.set_ylabel("pairs")


def _line(axes: Any, x: NDArray, y: NDArray, label: str) -> None:
    axes.plot(x, np.where(y > 0, y, np.nan), marker=".", markersize=4, linewidth=1, label=label)


def _words(flip: str) -> str:
    return FLIPS[flip].partition(",")[0]


def _logarithmic(axes: Any) -> None:
    if any(np.isfinite(line.get_ydata()).any() for line in axes.get_lines() if len(line.get_xdata()) > 2):
        axes.set_yscale("log")


def _draw_scores(axes: Any, found: Findings) -> None:
    edges = np.linspace(-1, 1, 81)
    shown = [(found.pairs.scores, 1.0, "candidates")]
    shown += [
        (flip.found.scores, flip.expected(1), f"found by images {_words(name)}") for name, flip in found.flips.items()
    ]
    for scores, factor, label in shown:
        counts = np.histogram(np.clip(scores, -1, 1), edges)[0] * factor
        _line(axes, (edges[1:] + edges[:-1]) / 2, counts, label)
    if found.threshold is not None:
        axes.axvline(found.threshold, color="grey", linestyle=":", linewidth=1)
    _logarithmic(axes)
    axes.set_xlabel("score")
    axes.set_ylabel("pairs")


def _sizes(choice: Choice) -> list[tuple[str, int, int]]:
    sizes = [members(names).sizes for names in (choice.leaders, choice.components)]
    bounds = [(2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, None)]
    rows = []
    for low, high in bounds:
        counts = [int(((one >= low) & (one <= (high or one.max(initial=0)))).sum()) for one in sizes]
        label = str(low) if low == high else f"{low} to {high}" if high else f"more than {low - 1}"
        rows.append((label, *counts))
    return rows


def _extreme(found: Findings, among: NDArray[np.bool_], n: int, *, lowest: bool) -> NDArray[np.int64]:
    """Pairs of lowest or highest score; of equal ones those farthest apart, or nearest."""
    rows = np.flatnonzero(among)
    sign = 1 if lowest else -1
    return rows[np.lexsort((rows, -sign * found.pairs.distances[rows], sign * found.pairs.scores[rows]))[:n]]


def _pair_strips(found: Findings, chosen: NDArray[np.int64]) -> list[Markup]:
    some = found.pairs.where(chosen)
    images = read_rows(found.corpus, np.concatenate([some.first, some.second]).tolist())
    return [
        figure(strip([images[a], images[b]]), f"{found.name(a)} | {found.name(b)}: {distance} bits, score {score:.3f}")
        for a, b, distance, score in zip(*(column.tolist() for column in some), strict=True)
    ]


def _mirror_strips(found: Findings) -> list[Markup]:
    some = found.flips["mirror"].found.where(found.flips_accepted["mirror"])
    some = some.where(np.argsort(-some.scores, kind="stable")[:REJECTED])
    images = read_rows(found.corpus, np.concatenate([some.first, some.second]).tolist())
    return [
        figure(
            strip([ImageOps.mirror(images[a]), images[b]]),
            f"{found.name(a)} | {found.name(b)}: {distance} bits, score {score:.3f}",
        )
        for a, b, distance, score in zip(*(column.tolist() for column in some), strict=True)
    ]


def _cluster_strips(found: Findings, rng: np.random.Generator) -> list[Markup]:
    clusters = members(found.choice.leaders)
    chosen = np.sort(rng.permutation(len(clusters))[:CLUSTERS])
    groups = []
    for number in chosen.tolist():
        rows = clusters[number].tolist()
        leader = int(found.choice.leaders[rows[0]])
        groups.append([leader, *(row for row in rows if row != leader)])
    images = read_rows(found.corpus, [row for group in groups for row in group[:SHOWN]])
    return [
        figure(
            strip([images[row] for row in group[:SHOWN]]),
            f"{found.name(group[0])} stays; {len(group) - 1} go: {', '.join(found.name(row) for row in group[1:SHOWN])}",
        )
        for group in groups
    ]
