"""The pictures of a report: a model's samples, and any picture made small enough for a page."""

import io
from typing import Any

from markupsafe import Markup
from PIL import Image

from dcgan_dist.cli.html_page import figure, heading, paragraph
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import tile, to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.lineage import sample_grids

EPOCHS = (1, 5)
"""The paper's figures 2 and 3 show samples after one and after five epochs of LSUN."""
SAMPLES = 64
MOST_PIXELS = 1000
"""Width of a picture inside the page."""


def sample_pictures(generator: Generator, identity: dict[str, Any], tracking_uri: str, seed: int) -> list[Markup]:
    """The samples of a model: the grids drawn after the paper's epochs of its run, where known, and fresh ones.

    Args:
        identity: of the model, as `identify` gives it.
        seed: of the fresh samples.
    """
    drawn = sample_images(generator, SAMPLES, seed=seed)
    buffer = io.BytesIO()
    tile(to_uint8(drawn, generator.config.output)).save(buffer, "PNG")
    parts = [
        heading("Samples"),
        paragraph(
            "The paper: figures 2 and 3 show LSUN bedrooms after one epoch, which already look like bedrooms, and after five, "
            "which show repeated textures as a sign of underfitting."
        ),
    ]
    grids = sample_grids(identity["run_id"], tracking_uri, EPOCHS) if identity.get("run_id") else []
    for grid in grids:
        caption = (
            f"Samples drawn in training after {grid.epoch:.1f} epochs ({grid.images_seen:,} images), with the statistics of the "
            f"sampled batch; run {identity['run_id']}."
        )
        parts.append(figure(shrunk(grid.png), caption))
    command = f"python jobs/sample.py --model {identity['asked_for']} --n {SAMPLES} --seed {seed} --out grid.png"
    caption = f"The first {SAMPLES} samples of {identity['uri']}, seed {seed}, none picked; {command}"
    return [*parts, figure(shrunk(buffer.getvalue()), caption)]


def shrunk(picture: bytes, *, height: int | None = None) -> bytes:
    """A PNG (its uppermost rows) as a JPEG of at most MOST_PIXELS width: a page with twenty of them should fit into a mail."""
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
