"""The report of a de-duplication: what goes first, pictures to judge it by, then the figures."""

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from dcgan_dist.cli.html_page import (
    banner,
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
)
from dcgan_dist.cli.progress import percent
from dcgan_dist.cli.unreadable_csv import UNREADABLE_NAME
from dcgan_dist.dedup.duplicates_pictures import cluster_gallery, pair_gallery
from dcgan_dist.dedup.encode_corpus import EncodedCorpus
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import Representatives
from dcgan_dist.dedup.verify_pairs import VerifiedPairs

FLIPS = {"mirror": "in a mirror", "upside_down": "upside down"}
CLUSTERS, WORST, REJECTED = 36, 24, 12
"""Pictures of each section."""
UNREADABLE = 50
"""Images that could not be read and are named on the page."""
SIZES = [(2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, None)]
"""Least and greatest number of members of the groups that are counted together."""


def build_report(
    encoded: EncodedCorpus, verified: VerifiedPairs, chosen: Representatives, result: dict[str, Any]
) -> str:
    """The HTML page."""

    def name(row: int) -> str:
        return bytes(encoded.names[row]).decode()

    def pairs(pairs: ScoredPairs, *, mirrored: bool = False) -> Markup:
        return pair_gallery(encoded.corpus, name, pairs, chosen.stays, mirrored=mirrored)

    mirrored = verified.flips["mirror"].found.where(verified.flips_accepted["mirror"])
    rejected = _extreme(verified.pairs, REJECTED, lowest=False, among=~verified.accepted)
    faults = encoded.originals.faults
    sections = [
        banner(_outcome(result), "good"),
        facts(_facts(result)),
        heading("Removed images"),
        paragraph(
            f"{min(CLUSTERS, result['clusters']):,} of {result['clusters']:,} clusters, drawn at random. Green frame: kept "
            "(all protected images are); red frame: removed. A score of 1 is identical."
        ),
        cluster_gallery(encoded.corpus, name, chosen, verified.duplicates, CLUSTERS),
        heading("Least sure of the removed"),
        paragraph("Accepted pairs with the lowest scores: if these are right, all are."),
        pairs(_extreme(verified.duplicates, WORST, lowest=True)),
    ]
    if len(rejected.first):
        sections += [
            heading("Just not removed"),
            paragraph("Rejected pairs with the highest scores: neither image is removed because of the other."),
            pairs(rejected),
        ]
    if len(mirrored.first):
        best = mirrored.where(np.argsort(-mirrored.scores, kind="stable")[:REJECTED])
        sections += [
            heading("Found in a mirror"),
            paragraph("A mirrored image (left) and another that look alike: mirrored copies, or accidents. They stay."),
            pairs(best, mirrored=True),
        ]
    sections += [
        heading("Figures"),
        table(("figure", "value", "meaning"), _figures(result)),
        gallery(_charts(encoded, verified, result), "charts"),
        folded("Sizes of the groups", *_groups(chosen, result)),
    ]
    if faults:
        unreadable = [f"{name(row)}: {fault}" for row, fault in sorted(faults.items())[:UNREADABLE]]
        if len(faults) > UNREADABLE:
            unreadable.append(f"and {len(faults) - UNREADABLE:,} more, in {UNREADABLE_NAME}")
        sections.append(folded(f"{len(faults):,} images that could not be read", bullets(unreadable)))
    return page("Near duplicates", *sections)


def _outcome(result: dict[str, Any]) -> str:
    removed, images = result["near_duplicates"], result["thinned_images"]
    return (
        f"{removed:,} of {images:,} images are near duplicates to be removed ({percent(removed / max(1, images))}), "
        f"{result['kept']:,} are kept. No file was deleted: keep_list.json names what to train on."
    )


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    protected, unreadable, pairs = result["protected_images"], result["unreadable"], result["duplicate_pairs"]
    blind = result["unreadable_protected"]
    checked = (
        f"{result['thinned_images']:,} checked: {result['near_duplicates']:,} to be removed, {result['kept']:,} kept"
    )
    bound = max(test["bound"] for test in result["false_discovery"].values())
    return [
        ("Images", (f"{protected:,} protected (never removed) + " if protected else "") + checked),
        *([("Unreadable", f"{unreadable:,} images, which are not kept either")] if unreadable else []),
        *([("Not compared", f"{blind:,} protected images that could not be read")] if blind else []),
        (
            "Why",
            f"each shows the same photograph as an image that is kept. Of {pairs:,} such pairs some are of two protected "
            "images, and an image can match several.",
        ),
        (
            "How sure",
            f"at most {percent(bound)} of these pairs are false (95 % bound); missed duplicates are not measured",
        ),
        ("How found", "short codes of all images propose pairs, a look at the pixels decides (limits under Figures)"),
    ]


def _charts(encoded: EncodedCorpus, verified: VerifiedPairs, result: dict[str, Any]) -> list[Markup]:
    """Images removed, distances and scores, each with what it shows."""
    return [
        figure(
            chart(lambda axes: _draw_removed(axes, result["removed_by_radius"])),
            "Images that would go at each radius: where the curve is flat, a wider search finds no more.",
        ),
        figure(
            chart(lambda axes: _draw_distances(axes, encoded, verified)),
            "Pairs at each Hamming distance. Random pairs and those found by flipped images are unrelated (unless copies really "
            "are mirrored): accepted pairs should lie far above them. All are scaled to all pairs of the images.",
        ),
        figure(
            chart(lambda axes: _draw_scores(axes, verified)),
            "How alike the verifier finds the images of each candidate pair, and of pairs that flipped images find: right of "
            "the dotted line pairs are accepted.",
        ),
    ]


def _groups(chosen: Representatives, result: dict[str, Any]) -> list[Markup]:
    return [
        table(("members", "leader clusters", "connected components"), _sizes(chosen)),
        paragraph(
            f"{result['chains']:,} of {result['components']:,} connected components are wider than the radius (largest "
            f"diameter {result['largest_diameter']} bits): chains, in which the ends are joined by what lies between. "
            "Nothing goes because of a chain: every image that goes is a near duplicate of the one that stays for it."
        ),
    ]


def _figures(result: dict[str, Any]) -> list[tuple[str, Any, str]]:
    entropy, threshold = result["entropy"], result["threshold"]
    bounds = {"mirror": "at most", "upside_down": "at least"}
    return [
        ("codes", f"{result['code_bits']} bits", f"of kind {result['codes']}"),
        (
            "candidate pairs",
            result["candidate_pairs"],
            f"codes that differ in at most {result['radius']} bits (the radius)",
        ),
        (
            "accepted pairs",
            result["duplicate_pairs"],
            "all of these"
            if threshold is None
            else f"scores from {threshold:.3f} on: the verifier says the same photograph",
        ),
        ("with a protected image", result["duplicate_pairs_with_protected"], "accepted pairs between the data sets"),
        ("clusters", result["clusters"], f"each keeps one image; the largest has {result['largest_cluster']:,}"),
        *(
            (f"false, {bounds[flip]}", _discovery(result["false_discovery"][flip]), f"pairs that images {how} find")
            for flip, how in FLIPS.items()
        ),
        ("collision entropy", f">= {entropy['collision_entropy_bits']:.1f} bits", "of the code: more, fewer accidents"),
        ("degrees of freedom", entropy["degrees_of_freedom"], "bits of the code that vary independently"),
        ("coder", result["coder"][:12], "first digits of its hash"),
        ("manifests", ", ".join(value[:12] for value in result["manifests"].values()), "of what was thinned out"),
    ]


def _discovery(test: dict[str, Any]) -> str:
    return f"{percent(test['share'])} (95 % bound {percent(test['bound'])}): {test['accepted']} accepted in {test['queries']:,} searches"


def _draw_removed(axes: Any, removed: list[tuple[int, int]]) -> None:
    axes.plot(*zip(*removed, strict=True), marker="o", markersize=3)
    axes.set(xlabel="radius in bits", ylabel="images removed")
    axes.set_ylim(bottom=0)


def _draw_distances(axes: Any, encoded: EncodedCorpus, verified: VerifiedPairs) -> None:
    n, null, radius = len(encoded.corpus), encoded.pair_distances, encoded.radius
    pairs, bits = verified.pairs, np.arange(len(null))
    _line(axes, bits, null / max(1, null.sum()) * (n * (n - 1) / 2), "random pairs")
    shown = [
        (flip.found.distances, flip.expected(1), f"found by images {FLIPS[name]}")
        for name, flip in verified.flips.items()
    ]
    shown += [(pairs.distances, 1.0, "candidates"), (pairs.distances[verified.accepted], 1.0, "accepted")]
    for distances, factor, label in shown:
        _line(axes, bits[: radius + 1], np.bincount(distances, minlength=radius + 1) * factor, label)
    _finish(axes, radius, "Hamming distance in bits")


def _draw_scores(axes: Any, verified: VerifiedPairs) -> None:
    shown = [(verified.pairs.scores, 1.0, "candidates")]
    shown += [
        (flip.found.scores, flip.expected(1), f"found by images {FLIPS[name]}") for name, flip in verified.flips.items()
    ]
    for scores, factor, label in shown:
        counts, edges = np.histogram(np.clip(scores, -1, 1), 80, (-1, 1))  # equal steps: one look at each of millions
        _line(axes, (edges[1:] + edges[:-1]) / 2, counts * factor, label)
    _finish(axes, verified.threshold, "score")


def _line(axes: Any, x: NDArray, y: NDArray, label: str) -> None:
    axes.plot(x, np.where(y > 0, y, np.nan), marker=".", markersize=4, linewidth=1, label=label)


def _finish(axes: Any, limit: float | None, xlabel: str) -> None:
    if any(np.isfinite(line.get_ydata()).any() for line in axes.get_lines()):
        axes.set_yscale("log")
    if limit is not None:
        axes.axvline(limit, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel=xlabel, ylabel="pairs")


def _sizes(chosen: Representatives) -> list[tuple[str, int, int]]:
    clusters, components = (members(groups).sizes for groups in (chosen.leaders, chosen.components))
    rows = []
    for low, high in SIZES:
        label = str(low) if low == high else f"{low} to {high}" if high else f"more than {low - 1}"
        counts = (int(((sizes >= low) & (sizes <= (high or np.inf))).sum()) for sizes in (clusters, components))
        rows.append((label, *counts))
    return rows


def _extreme(pairs: ScoredPairs, n: int, *, lowest: bool, among: NDArray[np.bool_] | None = None) -> ScoredPairs:
    """Pairs of lowest or highest score, of all or of some; of equal ones those farthest apart, or nearest."""
    sign = 1 if lowest else -1
    order = sign * pairs.scores
    if among is not None:
        order[~among] = np.inf
    if len(order) > n:  # of millions only those are sorted that can be among them
        chosen = (order <= np.partition(order, n - 1)[n - 1]) & np.isfinite(order)
        pairs = pairs.where(chosen)
    elif among is not None:
        pairs = pairs.where(among)
    return pairs.where(np.lexsort((-sign * pairs.distances, sign * pairs.scores))[:n])
