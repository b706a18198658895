"""Reports as one HTML file that holds all it shows: it can be mailed, archived and read on a phone, and runs no script.

report = page("Title", paragraph("What was done."), table(("name", "value"), rows), figure(chart(draw), "What is seen."))
"""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

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
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
figure { margin: 1.2rem 0; } figcaption, caption { color: #555; font-size: .9rem; text-align: left; }
img { max-width: 100%; height: auto; } img.pixels { image-rendering: pixelated; }
.wide { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.banner { padding: .6rem 1rem; border-left: .4rem solid; border-radius: .2rem; font-weight: 600; }
.good { background: #e7f5ea; border-color: #2b8a3e; } .bad { background: #fdeaea; border-color: #c92a2a; }
.unsure { background: #fff6e0; border-color: #e08e00; }
code { font-size: .9em; overflow-wrap: anywhere; }
</style>
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

_TABLE = _TEMPLATES.from_string(
    """\
<div class="wide"><table>{% if caption %}<caption>{{ caption }}</caption>{% endif %}
<thead><tr>{% for header in headers %}<th scope="col">{{ header }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}>{{ text_of(cell) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""
)

_FIGURE = _TEMPLATES.from_string(
    '<figure><img{% if pixels %} class="pixels"{% endif %} alt="{{ caption }}" src="data:{{ kind }};base64,{{ data }}">'
    "<figcaption>{{ caption }}</figcaption></figure>"
)


def page(title: str, *sections: Markup) -> str:
    """The whole HTML file; `sections` are what the functions below return."""
    return _PAGE.render(title=title, sections=sections)


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


def bullets(items: Iterable[str]) -> Markup:
    """A list of sentences."""
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Markup:
    """A table that scrolls sideways on a narrow screen; numbers are aligned and shown with 4 digits."""
    return Markup(_TABLE.render(headers=headers, rows=list(rows), caption=caption, text_of=_text_of))


def figure(image: bytes | Image.Image, caption: str) -> Markup:
    """A picture inside the page: the bytes of a PNG, JPEG or SVG file, or a PIL image, which becomes a PNG."""
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        image = buffer.getvalue()
    if image.startswith(b"\x89PNG"):
        kind = "image/png"
    else:
        kind = "image/jpeg" if image.startswith(b"\xff\xd8\xff") else "image/svg+xml"
    data = base64.b64encode(image).decode()
    return Markup(_FIGURE.render(caption=caption, kind=kind, data=data, pixels=kind == "image/png"))


def chart(draw: Callable[[Axes], object], *, width: float = 7.0, height: float = 3.6) -> bytes:
    """A plot as the bytes of an SVG file.

    Args:
        draw: is given matplotlib axes and draws on them; a legend is added where lines have labels.
        width: inches.
        height: inches.
    """
    # No pyplot: it would keep every figure, and choose a screen where there is one.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "dcgan_dist", "font.family": "sans-serif", "font.size": 10}
    ):
        plot = Figure(figsize=(width, height), layout="constrained")
        axes = plot.subplots()
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
