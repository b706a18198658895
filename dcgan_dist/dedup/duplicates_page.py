"""The report of a de-duplication: figures first, then pictures to judge them by."""

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dcgan_dist.cli.html_page import bullets, chart, figure, heading, page, paragraph, table
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.encode_corpus import EncodedCorpus
from dcgan_dist.dedup.groups import members
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.representatives import Representatives
from dcgan_dist.dedup.verify_pairs import VerifiedPairs

FLIPS = {"mirror": "in a mirror", "upside_down": "upside down"}
CLUSTERS, WORST, REJECTED = 36, 24, 12
"""Pictures of each section."""
SIZES = [(2, 2), (3, 3), (4, 5), (6, 10), (11, 100), (101, None)]
"""Least and greatest number of members of the groups that are counted together."""
HEIGHT = 96
"""Pixels of the images in a strip."""
SHOWN = 8
"""Images of a group that are shown."""

Name = Callable[[int], str]
"""Key of a row."""


def build_report(
    encoded: EncodedCorpus, verified: VerifiedPairs, chosen: Representatives, result: dict[str, Any]
) -> str:
    """The HTML page."""

    def name(row: int) -> str:
        return bytes(encoded.names[row]).decode()

    def strips(pairs: ScoredPairs, *, mirrored: bool = False) -> list[Markup]:
        return pair_strips(encoded.corpus, name, pairs, mirrored=mirrored)

    mirrored = verified.flips["mirror"].found.where(verified.flips_accepted["mirror"])
    rejected, faults = verified.pairs.where(~verified.accepted), encoded.originals.faults
    sections = [
        paragraph(_outcome(result)),
        table(("what", "figure"), _figures(result)),
        *_charts(encoded, verified, result),
        heading("Groups"),
        table(("members", "leader clusters", "connected components"), _sizes(chosen)),
        paragraph(
            f"{result['chains']:,} of {result['components']:,} connected components are wider than the radius (largest "
            f"diameter {result['largest_diameter']} bits): chains, in which the ends are joined by what lies between. "
            "Nothing goes because of a chain: every image that goes is a near duplicate of the one that stays for it."
        ),
        heading("Least sure first"),
        paragraph("Accepted pairs with the lowest scores; by them the worst of the list can be judged."),
        *strips(_extreme(verified.duplicates, WORST, lowest=True)),
    ]
    if len(rejected.first):
        sections += [
            paragraph("Rejected pairs with the highest scores:"),
            *strips(_extreme(rejected, REJECTED, lowest=False)),
        ]
    sections += [
        heading("Found in a mirror"),
        paragraph(
            "Pairs of a mirrored image (left) and another that would be accepted: mirrored copies, or accidents."
        ),
        *strips(mirrored.where(np.argsort(-mirrored.scores, kind="stable")[:REJECTED]), mirrored=True),
        heading("Clusters drawn at random"),
        paragraph("The first image of each stays (all of them, where several are protected); the others go."),
        *cluster_strips(encoded.corpus, name, chosen, CLUSTERS),
    ]
    if faults:
        sections += [
            heading("Unreadable"),
            bullets(f"{name(row)}: {fault}" for row, fault in sorted(faults.items())[:50]),
        ]
    return page("Near duplicates", *sections)


def _outcome(result: dict[str, Any]) -> str:
    share = result["near_duplicates"] / max(1, result["thinned_images"])
    threshold = result["threshold"]
    return (
        f"{result['near_duplicates']:,} of {result['thinned_images']:,} images ({share:.2%}) are near duplicates of others "
        f"and go; {result['kept']:,} stay. Codes: {result['codes']}, {result['code_bits']} bits; candidates within "
        f"{result['radius']} bits, "
        + ("all duplicates." if threshold is None else f"duplicates from a score of {threshold:g}.")
    )


def _charts(encoded: EncodedCorpus, verified: VerifiedPairs, result: dict[str, Any]) -> list[Markup]:
    """Images removed, distances and scores, each with what it shows."""
    return [
        heading("Removed against the radius"),
        figure(
            chart(lambda axes: _draw_removed(axes, result["removed_by_radius"])), "Images that would go at each radius."
        ),
        heading("Distances against the null"),
        figure(
            chart(lambda axes: _draw_distances(axes, encoded, verified)),
            "Pairs at each Hamming distance. Random pairs, and pairs that images find upside down, are unrelated; so are those "
            "found in a mirror, except copies that really are mirrored. All are scaled to all pairs of the images.",
        ),
        heading("Scores of candidates"),
        figure(
            chart(lambda axes: _draw_scores(axes, verified)),
            "How alike the verifier finds the images of each candidate pair, and of the pairs that flipped images find.",
        ),
    ]


def _figures(result: dict[str, Any]) -> list[tuple[str, Any]]:
    entropy = result["entropy"]
    bounds = {"mirror": "at most", "upside_down": "at least"}
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
        *(
            (f"false among the accepted, by images {how}, {bounds[flip]}", _discovery(result["false_discovery"][flip]))
            for flip, how in FLIPS.items()
        ),
        ("collision entropy of the code", f"at least {entropy['collision_entropy_bits']:.1f} bits"),
        ("degrees of freedom of the code", entropy["degrees_of_freedom"]),
        ("coder", result["coder"][:16]),
        ("manifests", ", ".join(value[:12] for value in result["manifests"].values())),
    ]


def _discovery(test: dict[str, Any]) -> str:
    return f"{test['share']:.2%} (95 % bound {test['bound']:.2%}): {test['accepted']} accepted in {test['queries']:,} searches"


def _draw_removed(axes: Any, removed: list[tuple[int, int]]) -> None:
    axes.plot(*zip(*removed, strict=True), marker="o", markersize=3)
    axes.set(xlabel="radius in bits", ylabel="images removed")
    axes.set_ylim(bottom=0)


def _draw_distances(axes: Any, encoded: EncodedCorpus, verified: VerifiedPairs) -> None:
    n, null, radius = len(encoded.corpus), encoded.null_distances, encoded.radius
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
    edges = np.linspace(-1, 1, 81)
    shown = [(verified.pairs.scores, 1.0, "candidates")]
    shown += [
        (flip.found.scores, flip.expected(1), f"found by images {FLIPS[name]}") for name, flip in verified.flips.items()
    ]
    for scores, factor, label in shown:
        counts = np.histogram(np.clip(scores, -1, 1), edges)[0] * factor
        _line(axes, (edges[1:] + edges[:-1]) / 2, counts, label)
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


def _extreme(pairs: ScoredPairs, n: int, *, lowest: bool) -> ScoredPairs:
    """Pairs of lowest or highest score; of equal ones those farthest apart, or nearest."""
    sign = 1 if lowest else -1
    return pairs.where(np.lexsort((-sign * pairs.distances, sign * pairs.scores))[:n])


def pair_strips(corpus: Corpus, name: Name, pairs: ScoredPairs, *, mirrored: bool = False) -> list[Markup]:
    """Pairs with their distances and scores; the first image of each mirrored if asked for."""
    images = read_rows(corpus, np.concatenate([pairs.first, pairs.second]).tolist())
    return [
        figure(
            strip([ImageOps.mirror(images[a]) if mirrored else images[a], images[b]]),
            f"{name(a)} | {name(b)}: {distance} bits, score {score:.3f}",
        )
        for a, b, distance, score in zip(*(column.tolist() for column in pairs), strict=True)
    ]


def cluster_strips(corpus: Corpus, name: Name, chosen: Representatives, n: int) -> list[Markup]:
    """Clusters drawn at random, at most n, the image that stays first."""
    clusters = members(chosen.leaders)
    drawn = np.sort(np.random.default_rng(0).permutation(len(clusters))[:n])
    groups = [
        sorted(clusters[number].tolist(), key=lambda row: row != chosen.leaders[row]) for number in drawn.tolist()
    ]
    images = read_rows(corpus, [row for group in groups for row in group[:SHOWN]])
    return [
        figure(
            strip([images[row] for row in group[:SHOWN]]),
            f"{name(group[0])} stays; {len(group) - 1} go: {', '.join(name(row) for row in group[1:SHOWN])}",
        )
        for group in groups
    ]


def read_rows(corpus: Corpus, rows: Iterable[int]) -> dict[int, Image.Image]:
    """Images of some rows at a common height."""
    by_shard: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in sorted(set(rows)):
        part, shard, sample = corpus.find(row)
        by_shard.setdefault((part, shard), []).append((row, sample))
    images = {}
    for (part, shard), wanted in by_shard.items():
        with ShardSamples(corpus.parts[part].manifest, shard) as samples:
            images |= {row: _at_height(samples.read(sample).pixels()) for row, sample in wanted}
    return images


def _at_height(pixels: NDArray[np.uint8]) -> Image.Image:
    colour = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(colour))
    width = max(1, round(image.width * HEIGHT / image.height))
    few_pixels = image.height * 2 <= HEIGHT
    return image.resize((width, HEIGHT), Image.Resampling.NEAREST if few_pixels else Image.Resampling.BICUBIC)


def strip(images: Sequence[Image.Image]) -> bytes:
    """Images in a row as one JPEG file."""
    sheet = Image.new("RGB", (sum(image.width + 4 for image in images) - 4, HEIGHT), "white")
    x = 0
    for image in images:
        sheet.paste(image, (x, 0))
        x += image.width + 4
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()
