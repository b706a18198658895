"""Making a generator of rooms forget windows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.progress import percent
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.stored_samples import read_details
from dcgan_dist.data.stream import read_images, refuse_bad_sample
from dcgan_dist.errors import InputError, require
from dcgan_dist.explore.boxes import Box, checked, masks, read_boxes, to_coco
from dcgan_dist.explore.drawing import activations, draw
from dcgan_dist.explore.exploration_options import WindowsJob
from dcgan_dist.explore.job import Exploration, proportion
from dcgan_dist.explore.map_removal import (
    MapWeights,
    fit_map_weights,
    hidden_convolutions,
    random_maps,
    without_maps,
)
from dcgan_dist.explore.sheets import panel, stacked
from dcgan_dist.explore.window_detector import Detector, measure_detector, train_detector
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.quality.pictures import save_grid
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.registry.identify import open_generator
from dcgan_dist.untrusted import refusing

PAPER = (
    "Section 6.3.1, figure 6: 150 samples, 52 boxes drawn by hand, logistic regression on G's second highest convolution layer, all maps "
    "with a positive weight (about 200) dropped: the network mostly forgets windows and puts other objects there. No rate is "
    "given."
)
CONTROLS = 5
"""Random choices of as many maps."""
COLUMNS = 16


def run_windows(job: WindowsJob, arguments: Sequence[str]) -> Exploration:
    """Boxes, regression, samples with and without."""
    require(
        job.n >= 5 and job.trials >= COLUMNS,
        f"`n` {job.n} must be at least 5, `trials` {job.trials} at least {COLUMNS}",
    )
    generator = open_generator(job.model, job.tracking_uri)
    require(not generator.config.classes, "a conditional generator has no layer without labels: windows are not for it")
    layers = hidden_convolutions(generator)
    chosen = job.layers or tuple(layers)[:2]
    shapes = ", ".join(f"{layer} ({maps}@{side})" for layer, (maps, side) in layers.items())
    for layer in chosen:
        require(layer in layers, f"`layers` {layer}: the generator has {shapes}")
    given = _read_boxes(job, generator) if job.boxes else []
    rooms = _read_rooms(job, generator) if job.shards else None
    exploration = Exploration(name="windows", job=job, arguments=list(arguments), paper=PAPER)
    z, _ = fixed_latents(generator, 0, job.n, seed=job.seed)
    samples = draw(generator, z)
    detector = None
    if rooms:
        detector, exploration.figures["detector"] = _train(*rooms, seed=job.seed, steps=job.detector_steps)
    if not given and detector is None:
        return _ask_for_boxes(exploration, samples, job)
    boxes = given or detector.find(samples, name=job.thing)  # pyright: ignore[reportOptionalMemberAccess]
    source = "boxes from the file" if given else "boxes found by the detector"
    coco = to_coco(boxes, generator.config.image_size, {"model": exploration.identity["uri"], "seed": job.seed})
    (exploration.folder / "boxes.json").write_text(json.dumps(coco, indent=1) + "\n", encoding="utf-8")
    exploration.figures |= {"samples": job.n, "boxes": len(boxes), "boxes_from": source}

    fresh, _ = fixed_latents(generator, 0, job.trials, seed=job.seed + 1)
    before = draw(generator, fresh)
    if detector:
        exploration.figures["before"] = proportion(*detector.rate(before))
    for layer in chosen:
        maps, side = layers[layer]
        inside = masks(boxes, range(job.n), side)
        outputs, c = activations(generator, z, layer), job.inverse_regularisation
        try:
            fitted = fit_map_weights(outputs, inside, layer, seed=job.seed, inverse_regularisation=c)
        except ValueError as error:
            raise InputError(f"`boxes`: {error}") from error
        after = draw(generator, fresh, edit=without_maps(layer, fitted.drop))
        controls = [
            draw(generator, fresh, edit=without_maps(layer, random_maps(fitted.drop, seed=job.seed + i)))
            for i in range(CONTROLS)
        ]
        exploration.figures[layer] = _figures(fitted, maps, side, detector, after, controls)
        exploration.add(
            f"without_{layer}.png", _sheet(before, after, controls[0], fitted), _caption(fitted, maps, side, source)
        )
    return exploration


def _read_boxes(job: WindowsJob, generator: Generator) -> list[Box]:
    boxes, info = read_boxes(absolute(job.boxes, "boxes"), name=job.thing)
    seed = info.get("seed", job.seed)
    require(
        str(seed) == str(job.seed),
        f"`boxes` {job.boxes} were drawn on samples of seed {seed}, not {job.seed}: give `seed` {seed}",
    )
    last = max(box.image for box in boxes)
    require(last < job.n, f"`boxes` {job.boxes} has a box on sample {last}: give `n` of at least {last + 1}")
    return boxes


def _read_rooms(job: WindowsJob, generator: Generator) -> tuple[Tensor, list[Box]]:
    """Images in [-1, 1] and their true boxes."""
    config = generator.config
    manifest = load_manifest(absolute(job.shards, "shards"))
    field = f"{job.thing}_box"
    count = min(job.rooms, manifest.samples)
    boxes = []
    for number, details in enumerate(read_details(manifest)[:count]):
        if edges := (details or {}).get(field):
            fault = f"`shards` {job.shards}: {field} of sample {number} is no box"
            with refusing(fault, "give left, top, right and bottom as shares of the side"):
                boxes.append(checked(Box(number, *map(float, edges), name=job.thing)))
    require(
        len(boxes) >= 50 and count >= 100,
        f"`shards` {job.shards}: {len(boxes)} of {count} samples have a {field} in their .json, at least 50 of 100 are needed: "
        "the job `prepare_rooms` draws such rooms",
    )
    images = read_images(
        manifest, range(count), image_size=config.image_size, image_channels=3, on_bad_sample=refuse_bad_sample
    )
    return from_uint8(images, "tanh"), boxes


def _train(images: Tensor, boxes: list[Box], *, seed: int, steps: int) -> tuple[Detector, dict[str, float]]:
    """A detector from five sixths of the rooms, and how it does on the others."""
    cut = len(images) * 5 // 6
    train = [box for box in boxes if box.image < cut]
    others = [replace(box, image=box.image - cut) for box in boxes if box.image >= cut]
    with tqdm(total=steps, desc="detector", unit="step", mininterval=5) as bar:
        detector = train_detector(images[:cut], train, seed=seed, steps=steps, progress=bar.update)
    return detector, measure_detector(detector, images[cut:], others)


def _ask_for_boxes(exploration: Exploration, samples: Tensor, job: WindowsJob) -> Exploration:
    page = Path(__file__).with_name("annotate.html")
    info = {"model": str(exploration.identity["uri"]), "seed": str(job.seed)}
    save_grid(samples, exploration.folder / "samples.png", columns=10, facts=info)
    caption = f"{len(samples)} samples to draw boxes on: open {page.name} in a browser, load this picture, save the boxes, give them as --boxes."
    exploration.note("samples.png", caption)
    print(f"{page.name} is {page}")
    return exploration


def _figures(
    fitted: MapWeights, maps: int, side: int, detector: Detector | None, after: Tensor, controls: list[Tensor]
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "shape": f"{maps}@{side}",
        "maps": maps,
        "dropped": int(fitted.drop.sum()),
        "held_out_accuracy": proportion(round(fitted.accuracy * fitted.held_out_places), fitted.held_out_places),
    }
    if detector:
        rates = [detector.rate(images) for images in controls]
        pooled = sum(k for k, _ in rates), sum(n for _, n in rates)
        figures["after"] = proportion(*detector.rate(after))
        figures["after_dropping_as_many_random_maps"] = proportion(*pooled)
    return figures


def _sheet(before: Tensor, after: Tensor, control: Tensor, fitted: MapWeights) -> Image.Image:
    """A column per sample: with the maps, without them, without as many others."""
    count = int(fitted.drop.sum())
    rows = ((before, "all maps"), (after, f"without the {count} maps"), (control, f"without {count} random maps"))
    scale = max(1, 64 // before.shape[-1])
    return stacked([panel(images[:COLUMNS], title, columns=COLUMNS, scale=scale) for images, title in rows])


def _caption(fitted: MapWeights, maps: int, side: int, source: str) -> str:
    return (
        f"New samples, one per column: with all maps, without the {int(fitted.drop.sum())} of {maps} maps of {fitted.layer} "
        f"({maps}@{side}) whose weight for windows is positive ({source}; held-out accuracy {percent(fitted.accuracy, 0)} of "
        f"{fitted.held_out_places:,} places), and without as many maps drawn at random."
    )
