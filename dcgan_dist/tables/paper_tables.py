"""The rows of the paper's three tables that ours stand beside; "unverified": from cited works, not checked against the paper."""

from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a table."""

    name: str
    figures: Figures
    """Column -> value in percent; None: not measured."""
    spread: Figures = field(default_factory=dict)
    """Column -> 1.96 standard deviations over draws, where there are several."""
    source: str
    """paper, released code, or this run."""
    deviations: tuple[str, ...] = ()
    """In what this is not the paper's measurement, a phrase each."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else is known of it: C, dimensions, seconds."""


def paper(name: str, source: str = "paper", **figures: float) -> Row:
    """A published row."""
    return Row(name=name, figures=dict(figures), source=source)


CIFAR10 = {
    "dcgan": paper("DCGAN (ImageNet-1k) + L2-SVM", full=82.8, few=73.8),
    "kmeans": paper("1 layer K-means, 4800 centroids", "paper; few unverified", full=80.6, few=63.7),
    "kmeans3": paper("3 layer K-means, learned receptive fields", full=82.0, few=70.7),
    "view": paper("view-invariant K-means", "paper; full unverified", full=81.9, few=72.6),
    "exemplar": paper("Exemplar CNN", "unverified", full=84.3, few=77.4),
}
SVHN = {
    "dcgan": paper("DCGAN + L2-SVM", test=22.48),
    "released": paper("the released model and script: 22.18 +- 1.13", "released code", test=22.18),
    "supervised": paper("supervised CNN of D's architecture, best of 64", "paper, validation error", validation=28.87),
    "knn": paper("KNN", test=77.93),
    "tsvm": paper("TSVM", test=66.55),
    "m1_knn": paper("M1 + KNN", "unverified", test=65.63),
    "m1_tsvm": paper("M1 + TSVM", "unverified", test=54.33),
    "m1_m2": paper("M1 + M2", test=36.02),
    "swwae": paper("SWWAE without dropout", test=27.83),
    "swwae_dropout": paper("SWWAE with dropout", test=23.56),
}
MNIST = {
    "dcgan": Row(name="DCGAN", figures={"50K": 2.98, "10M": 1.48}, source="unverified"),
    "real": Row(name="real data", figures={"real": 3.1}, source="unverified"),
    "gan": Row(name="permutation-invariant GAN", figures={"50K": 6.28, "10M": 5.65}, source="unverified"),
    "infimnist": Row(name="InfiMNIST", figures={"10M": 2.6}, source="unverified"),
    "alignmnist": Row(name="AlignMNIST", figures={"10M": 1.4}, source="unverified"),
}


def as_text(rows: list[Row], columns: list[str]) -> str:
    """An aligned table for people: a line per row, its deviations after it in the same line."""

    def cell(row: Row, column: str) -> str:
        value = row.figures.get(column)
        if value is None:
            return "-"
        return f"{value:.2f}" + (f" +- {row.spread[column]:.2f}" if row.spread.get(column) is not None else "")

    lines = [["", *columns, "source", ""]]
    lines += [[row.name, *(cell(row, c) for c in columns), row.source, "; ".join(row.deviations)] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )
