"""What the maps of a discriminator respond to."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.config import ModelConfig
from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.explore.exploration_options import FiltersJob
from dcgan_dist.explore.guided_backpropagation import TopResponses, as_pictures
from dcgan_dist.explore.job import Exploration
from dcgan_dist.explore.sheets import beside, panel, stacked
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import has_standing_statistics, restandardise
from dcgan_dist.registry.lineage import find_lineage
from dcgan_dist.registry.load import load_discriminator
from dcgan_dist.registry.model_uri import in_registry

PAPER = (
    "Section 6.2, figure 5: guided backpropagation for the first 6 maps of D's last convolution, maximal axis-aligned responses over "
    "LSUN bedrooms: trained maps respond to beds and windows, those of a random D to nothing in particular. No figure is given."
)
STANDING_BATCHES, STANDING_BATCH_SIZE = 30, 128


def run_filters(job: FiltersJob, arguments: Sequence[str]) -> Exploration:
    """One pass over the shards for both discriminators, then the gradients."""
    require(job.top >= 1, f"`top` {job.top}: at least 1")
    uri = discriminator_of(job.model, job.tracking_uri)
    trained = load_discriminator(uri, job.tracking_uri)
    config, manifest = trained.config, load_manifest(absolute(job.shards, "shards")).split(job.split)
    chance = Discriminator(config)
    initialise(chance, std=config.init_std, generator=seeded(job.seed, "random discriminator"))
    shape = {"image_size": config.image_size, "image_channels": config.image_channels, "crop": job.crop}
    statistics = _standing_batches(manifest, config, shape)
    restandardise(chance, statistics)
    if not has_standing_statistics(trained):  # a checkpoint in the middle of a run
        restandardise(trained, statistics)
    try:
        searches = {
            name: TopResponses(network, job.maps, layer=job.layer, k=job.top)
            for name, network in (("trained", trained), ("random", chance))
        }
    except ValueError as error:
        require(False, f"`layer`, `maps`: {error}")
        raise
    exploration = Exploration(name="filters", job=job, arguments=list(arguments), paper=PAPER)

    stream = scan_images(manifest, **shape)
    with closing(stream), tqdm(total=manifest.samples, unit="img", desc="images", mininterval=5) as bar:  # pyright: ignore
        for images, labels in stream:
            for search in searches.values():
                search.add(from_uint8(images, config.output), labels if config.classes else None)
            bar.update(len(images))

    for name, search in searches.items():
        which = "the trained discriminator" if name == "trained" else "a randomly initialised discriminator"
        caption = (
            f"The {job.top} of {search.images_seen:,} real images that excite maps {', '.join(map(str, job.maps))} of {search.layer} "
            f"of {which} most (left), and guided gradients of these responses (right; grey is 0)."
        )
        exploration.add(f"filters_{name}.png", _sheet(search), caption, source_images=True)
    exploration.figures = {
        "discriminator": uri,
        "images": searches["trained"].images_seen,
        "layer": searches["trained"].layer,
        "maps": list(job.maps),
        **{name: _figures(search) for name, search in searches.items()},
    }
    return exploration


def discriminator_of(model: str, tracking_uri: str) -> str:
    """The discriminator of the run that trained a generator; a registered discriminator and a folder as they are.

    Raises:
        InputError: no such model, or one of which no run is known.
    """
    if not in_registry(model):
        return model
    lineage = find_lineage(model, absolute_tracking_uri(tracking_uri))
    if model.startswith("models:/") and lineage.uri.rpartition("/")[0].endswith("-discriminator"):
        return lineage.uri
    require(lineage.run_id != "", f"`model` {model}: its run is not known, so name the discriminator itself")
    return f"runs:/{lineage.run_id}/discriminator"


def _standing_batches(
    manifest: Manifest, config: ModelConfig, shape: dict[str, Any]
) -> list[tuple[Tensor, Tensor | None]]:
    """Real images spread over the data set, in batches."""
    size = min(STANDING_BATCH_SIZE, manifest.samples)
    count = min(STANDING_BATCHES, manifest.samples // size)
    positions = torch.randperm(manifest.samples, generator=seeded(0, "standing"))[: count * size].sort().values
    images = read_images(manifest, positions.numpy(), **shape, on_bad_sample=refuse_bad_sample)
    labels = read_labels(manifest)[positions] if config.classes else None
    order = torch.randperm(len(images), generator=seeded(0, "standing order"))
    return [
        (from_uint8(images[rows], config.output), None if labels is None else labels[rows])
        for rows in order.split(size)
    ]


def _sheet(search: TopResponses) -> Image.Image:
    """A row per map: its images and their guided gradients."""
    pictures = as_pictures(search.gradients())
    scale = max(1, 64 // search.images[0].shape[-1])
    side = max(1, round(search.k**0.5))
    rows = []
    for m, number in enumerate(search.maps):
        images = search.images[m]
        images = images if images.min() < 0 else images * 2 - 1
        originals = panel(images, f"map {number}", columns=side, scale=scale)
        rows.append(beside([originals, panel(pictures[m], "guided gradients", columns=side, scale=scale)]))
    half = -(-len(rows) // 2)
    return beside([stacked(rows[:half]), stacked(rows[half:])]) if len(rows) > 1 else rows[0]


def _figures(search: TopResponses) -> dict[str, object]:
    """The responses, and how concentrated the gradients are: the share of pixels that holds half of their absolute sum."""
    sizes = search.gradients().abs().sum(2).flatten(2)  # (m, k, s s)
    ordered = sizes.sort(dim=2, descending=True).values.cumsum(2)
    halves = (ordered < ordered[..., -1:] / 2).float().mean(2)
    return {
        "largest_response": [round(float(values[0]), 4) for values in search.values],
        "share_of_pixels_with_half_of_the_gradient": round(float(halves.mean()), 4),
    }
