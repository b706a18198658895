"""The pictures of a report: a model's samples, and any picture made small enough for a page."""

import io
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from PIL import Image

from dcgan_dist.cli.html_page import figure
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import tile, to_uint8
from dcgan_dist.quality.sampling import in_turn, sample_images
from dcgan_dist.registry.lineage import sample_grids

EPOCHS = (1, 5)
"""The paper's figures 2 and 3 show samples after one and after five epochs of LSUN."""
SAMPLES = 64
MOST_PIXELS = 1000
"""Width of a picture inside the page."""


def sample_picture(generator: Generator, seed: int, classes: Sequence[int] = ()) -> Markup:
    """The first samples of a seed; of some classes in turn, if they are given."""
    drawn = sample_images(generator, SAMPLES, seed=seed, labels=in_turn(classes, SAMPLES))
    buffer = io.BytesIO()
    tile(to_uint8(drawn, generator.config.output)).save(buffer, "PNG")
    return figure(shrunk(buffer.getvalue()), f"{SAMPLES} samples, none picked (seed {seed})")


def training_grids(identity: dict[str, Any], tracking_uri: str) -> list[Markup]:
    """The grids drawn after the paper's epochs of a model's run, where they are known."""
    grids = sample_grids(identity["run_id"], tracking_uri, EPOCHS) if identity.get("run_id") else []
    return [
        figure(shrunk(grid.png), f"Samples drawn after {grid.epoch:.1f} epochs ({grid.images_seen:,} images seen)")
        for grid in grids
    ]


def shrunk(picture: bytes, *, height: int | None = None) -> bytes:
    """A picture (its uppermost rows) as a JPEG of at most MOST_PIXELS width: a page with twenty of them should fit into a mail."""
    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    if height:
        image = image.crop((0, 0, image.width, min(height, image.height)))
    if image.width > MOST_PIXELS:
        size = MOST_PIXELS, round(image.height * MOST_PIXELS / image.width)
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()
