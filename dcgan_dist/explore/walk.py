"""A walk through the space of z."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.exemplars import read_exemplars
from dcgan_dist.explore.exploration_options import TurnJob, WalkJob
from dcgan_dist.explore.job import Exploration
from dcgan_dist.explore.latent_math import Kind, nearest, smoothness, walk
from dcgan_dist.explore.sheets import panel, save_animation
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.random_features import RandomFeatures
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.registry.identify import open_generator

PAPER = (
    "Section 6.1, figure 4: a series of 9 random points, linear interpolation; every image along the way looks like a bedroom, and "
    "objects change smoothly. Sharp transitions would be a sign of memorization. The paper gives no figure."
)
KINDS: tuple[Kind, ...] = ("linear", "spherical")


def run_walk(job: WalkJob, arguments: Sequence[str]) -> Exploration:
    """Draw, measure, write."""
    require(job.steps >= 2, f"`steps` {job.steps}: a row needs at least its 2 ends")
    require(job.z != () or job.points >= 2, f"`points` {job.points}: a walk needs at least 2 points")
    generator = open_generator(job.model, job.tracking_uri, job.label)
    real = read_real(job, generator) if job.shards else None
    if job.z:
        points = read_exemplars(job.z, generator, seed=job.seed, field="z")
        require(len(points) >= 2, f"`z` gives {len(points)} point: a walk needs at least 2")
    else:
        points, _ = fixed_latents(generator, 0, job.points, seed=job.seed)
    exploration = Exploration(name="walk", job=job, arguments=list(arguments), paper=PAPER)

    for kind in KINDS:
        rows = walk(points, job.steps, kind)
        images = to_uint8(draw(generator, rows.flatten(0, 1), label=job.label))
        caption = (
            f"Latent walk, {kind} interpolation: {len(rows)} rows between {len(points)} consecutive z; each row begins where "
            "the one above ends."
        )
        exploration.add(f"walk_{kind}.png", panel(images, columns=job.steps), caption)
        fine = walk(points, job.frames, kind)
        # The last of a row is the first of the next.
        path = torch.cat([fine[:, :-1].flatten(0, 1), fine[-1, -1:]])
        frames = to_uint8(draw(generator, path, label=job.label))
        save_animation(frames, exploration.folder / f"walk_{kind}.gif")
        exploration.note(f"walk_{kind}.gif", f"The same walk, {kind}, {job.frames} images from point to point.")
        exploration.figures[kind] = _measure(images.unflatten(0, rows.shape[:2]), real)
    return exploration


def read_real(job: WalkJob | TurnJob, generator: Generator) -> Tensor:
    """Real images (job.real, c, s, s) uint8 of the generator's size."""
    manifest, config = load_manifest(absolute(job.shards, "shards")).split(job.split), generator.config
    return read_images(
        manifest, job.real, image_size=config.image_size, image_channels=config.image_channels, crop=job.crop
    )


def _measure(rows: Tensor, real: Tensor | None) -> dict[str, dict[str, dict[str, float]]]:
    """Smoothness of rows (r, k, c, s, s) uint8 in pixels and in features, beside rows of real images."""
    shape = rows.shape[:2]
    features = RandomFeatures()

    def describe(images: Tensor) -> dict[str, Tensor]:
        floats = from_uint8(images, "tanh")
        return {"pixels": floats.flatten(1), "features": features(floats)}

    walked = {name: x.unflatten(0, shape) for name, x in describe(rows.flatten(0, 1)).items()}
    figures = {"walk": {name: smoothness(x) for name, x in walked.items()}}
    if real is None:
        return figures
    known = describe(real)
    chosen = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    unrelated = chosen.repeat(-(-shape.numel() // len(real)))[: shape.numel()]
    figures["unrelated_real_images"] = {name: smoothness(x[unrelated].unflatten(0, shape)) for name, x in known.items()}
    figures["nearest_real_images"] = {name: smoothness(nearest(walked[name], x)) for name, x in known.items()}
    return figures
