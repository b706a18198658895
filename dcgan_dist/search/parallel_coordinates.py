"""Many configurations and their scores in one picture: a line per configuration, an axis per parameter."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray


def save_parallel_coordinates(
    columns: Mapping[str, Sequence[float]], score: Sequence[float], path: Path, *, score_name: str, title: str
) -> Path:
    """Write the picture as a PNG."""
    figure = Figure(figsize=(3.6 + 1.6 * len(columns), 5), layout="tight")
    plot = figure.add_subplot()
    draw_parallel_coordinates(plot, columns, score, score_name)
    plot.set_title(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=110)
    return path


def draw_parallel_coordinates(
    plot: Axes, columns: Mapping[str, Sequence[float]], score: Sequence[float], score_name: str
) -> None:
    """A line per score, the lowest and best thick and drawn last, the others fainter the higher they are.

    The colours say the same where light and dark are turned over.

    Columns hold the (n,) values of each parameter; axes whose values span more than 50 times their least are logarithmic.
    """
    axes = {**columns, score_name: score}
    heights = [_heights(np.asarray(values, float)) for values in axes.values()]
    ranks = np.argsort(np.argsort(score)) / max(1, len(score) - 1)
    for number in np.argsort(score)[::-1]:
        best = ranks[number] == 0
        plot.plot(
            range(len(axes)),
            [height[number] for height in heights],
            color="crimson" if best else "#20304a",
            linewidth=3 if best else 1,
            alpha=1 if best else 0.9 - 0.35 * ranks[number],
        )
    for place, values in enumerate(axes.values()):
        plot.axvline(place, color="black", linewidth=0.8)
        for height, value in ((-0.04, min(values)), (1.01, max(values))):
            text = plot.text(place, height, f"{value:.3g}", ha="center", va="bottom", fontsize=8, zorder=3)
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    plot.grid(visible=False)
    plot.spines[:].set_visible(False)
    plot.tick_params(length=0, labeltop=True, labelbottom=False)
    plot.set_xticks(range(len(axes)), [name.replace(" ", "\n") for name in axes], fontsize=8)
    plot.set(yticks=[], ylim=(-0.06, 1.08))


def _heights(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places on an axis from 0 to 1; halfway up where all values are equal."""
    if values.min() > 0 and values.max() > 50 * values.min():
        values = np.log(values)
    span = values.max() - values.min()
    return (values - values.min()) / span if span else np.full(len(values), 0.5)
