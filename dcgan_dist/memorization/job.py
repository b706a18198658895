"""What jobs/check_memorization.py does: images, check, files, and what the registry is told."""

import logging
import shlex
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cli.result_file import RESULT_NAME, write_result, writing
from dcgan_dist.errors import require
from dcgan_dist.memorization.check import Memorization, check_thumbnails, learn_coder
from dcgan_dist.memorization.check_options import MemorizationOptions
from dcgan_dist.memorization.image_sets import ImageSet, read_image_set, read_real_images
from dcgan_dist.memorization.memorization_page import closest_pairs, memorization_page
from dcgan_dist.memorization.verdict import LEAST_HELD_OUT
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import in_turn, sample_batches
from dcgan_dist.registry.champion import ChampionRegistry, Version
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.model_uri import ModelOfRun, RegisteredVersion, in_registry, parse_model_uri
from dcgan_dist.registry.promotion_gate import CHECKED_DATA, VERDICT
from dcgan_dist.storage.copies import local_output

REPORT_NAME, PICTURE_NAME = "report.html", "closest_pairs.png"
FOLDER = "memorization"
"""Where a run keeps the report among its files."""

_log = logging.getLogger(__name__)


def run_check(options: MemorizationOptions) -> int:
    """Compare, judge, write, tell the registry; the verdict is in the result, the exit code is 0 for each.

    Raises:
        InputError: nothing to compare, or images that cannot be read.
    """
    require(
        bool(options.model) != bool(options.samples),
        "give either `model` (a generator) or `samples` (its images), not both",
    )
    require(not (options.samples and options.classes), "`classes` are for `model`: given `samples` are what they are")
    require(options.n >= 1, f"`n` {options.n} asks for no sample: give at least 1")
    with local_output(absolute(options.out, "out"), "out") as out:
        return _check(options, out)


def _check(options: MemorizationOptions, out: Path) -> int:
    tracking_uri = absolute_tracking_uri(options.tracking_uri)
    version = _version(options.model, tracking_uri)  # once: an alias may move while the check runs
    model = version.uri if version else options.model
    draw: Callable[[], ImageSet]
    if model:
        generator = load_generator(model, tracking_uri)
        side, draw = generator.config.image_size, partial(_draw, options, generator)
    else:
        given = read_image_set(_absolute(options.samples, "samples"), "samples", crop=options.crop)
        side, draw = given.side, lambda: given
    places = _absolute(options.train, "train"), _absolute(options.held_out, "held_out")
    train, held_out = read_real_images(*places, side=side, crop=options.crop)
    if len(held_out) < LEAST_HELD_OUT:  # before the minutes that it takes to draw samples and to find out the rest
        _log.warning("with fewer than %s held-out images the verdict may be fail, but not pass", f"{LEAST_HELD_OUT:,}")
    sample_set = draw()
    samples = sample_set.images[np.linspace(0, len(sample_set) - 1, min(len(sample_set), options.n)).astype(int)]
    counts = (f"{len(images):,}" for images in (samples, train, held_out))
    _log.info("%s samples, %s training images, %s held-out images", *counts)
    with writing(f"`out` {out}", "name another place"):
        out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be

    coder = learn_coder(train.images, held_out.images, seed=options.seed)
    memorization = check_thumbnails(samples, train.images, held_out.images, coder, seed=options.seed)
    shown = map(_shown, [model] if model else options.samples)
    title = f"Memorization: {', '.join(name.removeprefix('models:/') for name in shown)}"
    report = memorization_page(title, memorization, samples, train.images, held_out.images)
    with writing(f"`out` {out}", "name another place"):
        save_page(report, out / REPORT_NAME)
        closest_pairs(samples, train.images, memorization.samples).save(out / PICTURE_NAME, optimize=True)
    write_result(out, _result(options, model, memorization, train, held_out))
    verdict = memorization.verdict
    lines = [f"verdict: {verdict.verdict}", *verdict.reasons, f"report: {options.out.rstrip('/')}/{REPORT_NAME}"]
    _log.info("%s", "\n  ".join(lines))
    if model:
        _tell_registry(model, version, tracking_uri, memorization, train, out)
    return 0


def _absolute(paths: tuple[str, ...], field: str) -> list[str]:
    return [absolute(path, field) for path in paths]


def _version(model: str, tracking_uri: str) -> Version | None:
    """The registered version that a model's address means now; None for one that means none."""
    if not in_registry(model) or not isinstance(parse_model_uri(model), RegisteredVersion):
        return None
    return ChampionRegistry(tracking_uri).version(model)


def _draw(options: MemorizationOptions, generator: Generator) -> ImageSet:
    """Samples of a generator."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    drawn, labels = [], in_turn(options.classes, options.n)
    with progress_bar(options.n, "samples") as bar:
        for batch in sample_batches(generator.to(device), options.n, seed=options.seed, labels=labels):
            drawn.append(to_uint8(batch, generator.config.output).cpu().numpy())
            bar.update(len(batch))
    return read_image_set(np.concatenate(drawn), "samples", crop=options.crop)


def _result(
    options: MemorizationOptions, model: str, memorization: Memorization, train: ImageSet, held_out: ImageSet
) -> dict[str, Any]:
    if model:
        source = {"model": _shown(model), "asked": _shown(options.model)}
    else:
        source = {"samples_from": [_shown(path) for path in options.samples]}
    data = {
        name: {"sha256": images.sha256, "manifest": images.manifest, "unreadable": images.unreadable}
        for name, images in (("train", train), ("held_out", held_out))
    }
    result = {"job": "check_memorization"} | memorization.to_json() | source
    return result | {"data": data, "command": _command(options)}


def _command(options: MemorizationOptions) -> str:
    """The command that repeats the check, without the folders and the server of this machine."""
    command = ["python", "jobs/check_memorization.py"]
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name == "tracking_uri":
            continue
        values = value if isinstance(value, tuple) else (value,)
        command += [f"--{field.name.replace('_', '-')}", *map(_shown, values)]
    return shlex.join(command)


def _shown(value: str | int) -> str:
    """A flag's value, without the folders of this machine."""
    return str(value) if isinstance(value, int) or in_registry(value) else Path(value).name


def _tell_registry(
    model: str, version: Version | None, tracking_uri: str, memorization: Memorization, train: ImageSet, out: Path
) -> None:
    """Tag the registered version with the verdict, and keep the report with the run."""
    if not in_registry(model):
        return
    registry, run_id, verdict = ChampionRegistry(tracking_uri), "", memorization.verdict
    if version is not None:
        run_id = version.run_id
        limit = memorization.statistics["detection_limit"]
        tags = {
            VERDICT: verdict.verdict,
            f"{VERDICT}_reasons": "; ".join(verdict.reasons),
            f"{VERDICT}_detection_limit": "" if limit is None else f"{limit:.6f}",
            CHECKED_DATA: train.manifest,
        }
        registry.tag(version, tags)
        _log.info("%s is tagged %s=%s", version.uri, VERDICT, verdict.verdict)
    elif isinstance(named := parse_model_uri(model), ModelOfRun):
        run_id = named.run_id
    for name in (REPORT_NAME, RESULT_NAME) if run_id else ():
        registry.keep_file(run_id, out / name, FOLDER)
