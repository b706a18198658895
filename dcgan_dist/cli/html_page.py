"""Reports as one HTML file that holds all it shows: it can be mailed, archived and read on a phone, and runs no script.

report = page("Title", paragraph("What was done."), table(("name", "value"), rows), figure(chart(draw), "What is seen."))
"""

import base64
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from dcgan_dist.errors import printable
from dcgan_dist.files import whole_file

_TEMPLATES = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)

_PAGE = _TEMPLATES.from_string(
    """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
{{ style }}</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for section in sections %}
{{ section }}
{% endfor %}
</body>
</html>
"""
)

VERDICTS = {
    "pass": ("good", "nothing says that the generator copies its training images."),
    "fail": ("bad", "the generator copies its training images."),
    "inconclusive": ("unsure", "it cannot be told from these images whether the generator copies."),
}
"""Look and meaning of the outcomes of a memorization check."""
_STYLE = Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))
WIDE = 3
"""Tables of more columns stand row below row on a narrow screen."""

_TABLE = _TEMPLATES.from_string(
    """\
<table{% if wide %} class="wide"{% endif %}>{% if caption %}<caption>{{ caption }}</caption>{% endif %}
<thead><tr>{% for header in headers %}<th scope="col"{% if loop.index0 in numeric %} class="number"{% endif %}>{{ header }}</th>\
{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}{% if wide and headers[loop.index0] %} \
data-label="{{ headers[loop.index0] }}"{% endif %}>{{ text_of(cell) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table>
"""
)

_FIGURE = _TEMPLATES.from_string(
    '<figure><img class="{{ look }}" alt="{{ alt or caption }}"{% if title %} title="{{ title }}"{% endif %} src="data:{{ kind }};base64,{{ data }}">'
    "<figcaption>{{ caption }}</figcaption></figure>"
)


def page(title: str, *sections: Markup) -> str:
    """The whole HTML file; `sections` are what the functions below return."""
    return _PAGE.render(title=title, sections=sections, style=_STYLE)


def save_page(html: str, path: str | Path) -> Path:
    """Write a page in one step, so that a reader finds all of it or none; its folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        unfinished.write_text(printable(html), encoding="utf-8")
    return path


def heading(text: str) -> Markup:
    """Title of a section."""
    return Markup("<h2>{}</h2>").format(text)


def paragraph(text: str | Markup) -> Markup:
    """Running text; a str is escaped, so keys and file names from anywhere may be in it."""
    return Markup("<p>{}</p>").format(text)


def banner(text: str, kind: str) -> Markup:
    """The one sentence that matters; `kind` is "good", "bad" or "unsure"."""
    return Markup('<p class="banner {}">{}</p>').format(kind, text)


def verdict_banner(verdict: str) -> Markup:
    """The outcome of a check for copies of training images: pass, fail or inconclusive; anything else: there was none."""
    if verdict not in VERDICTS:
        return banner("Copies: not checked whether the generator copies its training images.", "unsure")
    kind, meaning = VERDICTS[verdict]
    return banner(f"Copies: {verdict}, {meaning}", kind)


def bullets(items: Iterable[str]) -> Markup:
    """A list of sentences."""
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def facts(items: Iterable[tuple[str, str | Markup]]) -> Markup:
    """What a page is about in a few lines: name and value of each."""
    return _definitions("facts", items)


def beside(paper: str, ours: str | Markup) -> Markup:
    """What the paper says, and beside it what was found here."""
    return _definitions("beside", [("The paper", paper), ("Here", ours)])


def _definitions(kind: str, items: Iterable[tuple[str, str | Markup]]) -> Markup:
    entries = (Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*item) for item in items)
    return Markup('<dl class="{}">{}</dl>').format(kind, Markup("").join(entries))


def opening(picture: Markup, *parts: Markup) -> Markup:
    """The first screen: a figure, and at its right, or below it on a narrow screen, what is known of it."""
    return Markup('<div class="opening">{}<div>{}</div></div>').format(picture, Markup("").join(parts))


def gallery(figures: Iterable[Markup], kind: Literal["", "charts"] = "") -> Markup:
    """Figures side by side, as many as the screen is wide; those of charts are wider."""
    return Markup('<div class="{}">{}</div>').format(f"gallery {kind}".strip(), Markup("").join(figures))


def folded(summary: str, *parts: Markup) -> Markup:
    """What only some readers want, behind a line that opens it."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, Markup("").join(parts))


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Markup:
    """A table whose rows become blocks on a screen too narrow for it; numbers are aligned and shown with 4 digits."""
    rows, wide = list(rows), len(headers) > WIDE
    columns = enumerate(itertools.zip_longest(*rows))
    numeric = {place for place, cells in columns if all(isinstance(cell, int | float) for cell in cells)}
    return Markup(
        _TABLE.render(headers=headers, rows=rows, numeric=numeric, caption=caption, text_of=_text_of, wide=wide)
    )


def figure(image: bytes | Image.Image, caption: str | Markup, alt: str = "", title: str = "") -> Markup:
    """A picture inside the page: the bytes of a PNG, JPEG or SVG file, or a PIL image, which becomes a PNG.

    Its caption is also what is read out in its place, unless `alt` says it otherwise; `title` is shown where a mouse rests on it.
    """
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        image = buffer.getvalue()
    if image.startswith(b"\x89PNG"):
        kind, look = "image/png", "pixels"
    elif image.startswith(b"\xff\xd8\xff"):
        kind, look = "image/jpeg", "photograph"
    else:
        kind, look = "image/svg+xml", "chart"
    data = base64.b64encode(image).decode()
    return Markup(_FIGURE.render(caption=caption, alt=alt, title=title, kind=kind, data=data, look=look))


def chart(draw: Callable[[Axes], object], *, width: float = 5.6, height: float = 3.2) -> bytes:
    """A plot as the bytes of an SVG file without a background: on a dark screen its colours are turned over.

    Args:
        draw: is given matplotlib axes and draws on them; a legend is added where lines have labels.
        width: inches.
        height: inches.
    """
    # No pyplot: it would keep every figure, and choose a screen where there is one.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "dcgan_dist", "font.family": "sans-serif", "font.size": 10}
    ):
        plot = Figure(figsize=(width, height), layout="constrained", facecolor="none")
        axes = plot.subplots()
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        draw(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=9)
        buffer = io.BytesIO()
        FigureCanvasSVG(plot).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def _text_of(cell: Any) -> Any:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else cell
