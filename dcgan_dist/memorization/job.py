"""What jobs/check_memorization.py does: images, check, files, and what the registry is told."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cli.result_file import RESULT_NAME, only_job, write_result, writing
from dcgan_dist.cli.unreadable_csv import write_unreadable_csv
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import whole_file
from dcgan_dist.memorization.check import Memorization, check_thumbnails, learn_coder
from dcgan_dist.memorization.check_options import MemorizationOptions
from dcgan_dist.memorization.image_sets import ImageSet, RealImages, read_image_set, read_opened
from dcgan_dist.memorization.image_sources import open_sources
from dcgan_dist.memorization.memorization_page import closest_pairs, memorization_page
from dcgan_dist.memorization.trained_with import TrainedWith, trained_with
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


class _Compared(NamedTuple):
    """What is compared, and how."""

    samples: ImageSet
    train: ImageSet
    held_out: ImageSet
    trained: TrainedWith
    same: str
    """That training and held-out images are the same; empty where they are not."""
    missing_classes: str
    """That not all classes were drawn; empty where all were."""


def run_check(options: MemorizationOptions) -> int:
    """Compare, judge, write, tell the registry; the verdict is in the result, the exit code is 0 for each.

    Raises:
        InputError: nothing to compare, images that cannot be read, or a registry that takes no verdict; the results are then
            written all the same.
    """
    require(
        bool(options.model) != bool(options.samples),
        "give either `model` (a generator) or `samples` (its images), not both",
    )
    require(not (options.samples and options.classes), "`classes` are for `model`: given `samples` are what they are")
    require(options.n >= 1, f"`n` {options.n} asks for no sample: give at least 1")
    require(options.seed >= 0, f"`seed` {options.seed} must not be negative")
    require(options.cpus >= 0, f"`cpus` {options.cpus} must be at least 0")
    tracking_uri = absolute_tracking_uri(options.tracking_uri)
    version = _version(options.model, tracking_uri)  # once: an alias may move while the check runs
    model = version.uri if version else options.model
    with local_output(absolute(options.out, "out"), "out") as out:
        compared, memorization = _check(options, model, tracking_uri, out)
        files = {name: (out / name).read_text(encoding="utf-8") for name in (REPORT_NAME, RESULT_NAME)}
    # Only now, when the results lie where they belong, whatever the registry answers.
    if compared.missing_classes and memorization.verdict.verdict != "fail":
        _log.info("the registry is not told of it: %s", compared.missing_classes)
    elif in_registry(model):
        _tell_registry(model, version, tracking_uri, memorization, compared.train, files)
    return 0


def _check(options: MemorizationOptions, model: str, tracking_uri: str, out: Path) -> tuple[_Compared, Memorization]:
    """What can be wrong is looked at before the work: model, places, folder."""
    trained = trained_with(model, tracking_uri, crop=options.crop, flip=options.flip)
    generator = load_generator(model, tracking_uri) if model else None
    missing_classes = _missing_classes(options.classes, generator)
    given = open_sources(_absolute(options.samples, "samples"), "samples")
    real = RealImages(_absolute(options.train, "train"), _absolute(options.held_out, "held_out"))
    if real.held_out < LEAST_HELD_OUT:
        _log.warning("with fewer than %s held-out images the verdict may be fail, but not pass", f"{LEAST_HELD_OUT:,}")
    with only_job(out, tidy=True):
        samples = _draw(options, generator) if generator else read_opened(given, "samples", most=options.n)
        side = generator.config.image_size if generator else samples.side
        train, held_out, same = real.read(side=side, crop=trained.crop, cpus=options.cpus)
        compared = _Compared(samples, train, held_out, trained, same, missing_classes)
        return compared, _compare_and_write(options, model, compared, out)


def _compare_and_write(options: MemorizationOptions, model: str, compared: _Compared, out: Path) -> Memorization:
    samples, train, held_out, trained, *doubts = compared
    counts = (f"{len(images):,}" for images in (samples, train, held_out))
    _log.info("%s samples, %s training images, %s held-out images", *counts)
    images, seed = (samples.images, train.images, held_out.images), options.seed
    coder = learn_coder(*images[1:], seed=seed)
    memorization = check_thumbnails(*images, coder, seed=seed, flip=trained.flip, doubts=[*filter(None, doubts)])
    shown = map(_shown, [model] if model else options.samples)
    title = f"Memorization: {', '.join(name.removeprefix('models:/') for name in shown)}"
    sets = {"samples": samples, "training": train, "held-out": held_out}
    left_out = [f"{len(images.unreadable):,} {name}" for name, images in sets.items() if images.unreadable]
    report = memorization_page(title, memorization, *images, unreadable=", ".join(left_out))
    with writing(f"`out` {out}", "name another place"):
        save_page(report, out / REPORT_NAME)
        with whole_file(out / PICTURE_NAME) as unfinished:
            closest_pairs(*images[:2], memorization.samples).save(unfinished, format="PNG", optimize=True)
        unreadable = [(name, *image) for name, images in sets.items() for image in images.unreadable]
        write_unreadable_csv(out, ("set", "key", "fault"), unreadable)
    write_result(out, _result(options, model, memorization, compared))
    verdict = memorization.verdict
    lines = [f"verdict: {verdict.verdict}", *verdict.reasons, f"report: {options.out.rstrip('/')}/{REPORT_NAME}"]
    _log.info("%s", "\n  ".join(lines))
    return memorization


def _missing_classes(classes: Sequence[int], generator: Generator | None) -> str:
    """That not all classes are drawn, as a reason; empty where all are.

    Raises:
        InputError: a class that the generator does not have.
    """
    if not classes or generator is None:
        return ""
    there = generator.config.classes
    require(
        all(0 <= number < there for number in classes),
        f"`classes` {', '.join(map(str, classes))}: the generator has {there} classes"
        + (f", 0 to {there - 1}" if there else ""),
    )
    drawn = len({*classes})
    return "" if drawn == there else f"only {drawn} of the generator's {there} classes were drawn"


def _absolute(paths: tuple[str, ...], field: str) -> list[str]:
    return [absolute(path, field) for path in paths]


def _version(model: str, tracking_uri: str) -> Version | None:
    """The registered version that a model's address means now; None for one that means none."""
    if not in_registry(model) or not isinstance(parse_model_uri(model), RegisteredVersion):
        return None
    return ChampionRegistry(tracking_uri).version(model)


def _draw(options: MemorizationOptions, generator: Generator) -> ImageSet:
    """Samples of a generator.

    Raises:
        InputError: it draws what is no image.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    drawn, labels = [], in_turn(options.classes, options.n)
    with progress_bar(options.n, "samples") as bar:
        for batch in sample_batches(generator.to(device), options.n, seed=options.seed, labels=labels):
            try:
                drawn.append(to_uint8(batch, generator.config.output).cpu().numpy())
            except ValueError as error:
                raise InputError(f"`model` {options.model}: {error} Name another model or checkpoint") from error
            bar.update(len(batch))
    return read_image_set(np.concatenate(drawn), "samples")


def _result(
    options: MemorizationOptions, model: str, memorization: Memorization, compared: _Compared
) -> dict[str, Any]:
    if model:
        source = {"model": _shown(model), "asked": _shown(options.model)}
    else:
        source = {"samples_from": [_shown(path) for path in options.samples]}
    sets = {"samples": compared.samples, "train": compared.train, "held_out": compared.held_out}
    data = {
        name: {
            "sha256": images.sha256,
            "manifest": images.manifest,
            "given": images.given,
            "unreadable": len(images.unreadable),
        }
        for name, images in sets.items()
    }
    result = {"job": "check_memorization"} | memorization.to_json() | source
    return result | {"crop": compared.trained.crop, "data": data, "command": _command(options)}


def _command(options: MemorizationOptions) -> str:
    """The command that repeats the check, without the folders and the server of this machine."""
    command = ["python", "jobs/check_memorization.py"]
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name == "tracking_uri":
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        command += [f"--{field.name.replace('_', '-')}", *map(_shown, values)]
    return shlex.join(command)


def _shown(value: str | int) -> str:
    """A flag's value, without the folders of this machine."""
    return str(value) if isinstance(value, int) or in_registry(value) else Path(value).name


def _tell_registry(
    model: str,
    version: Version | None,
    tracking_uri: str,
    memorization: Memorization,
    train: ImageSet,
    files: dict[str, str],
) -> None:
    """Tag the registered version with the verdict, and keep the report with the run."""
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
    for name, text in files.items() if run_id else ():
        registry.keep_text(run_id, text, f"{FOLDER}/{name}")
