"""What jobs/check_memorization.py does: images, check, files, and what the registry is told."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.html_page import save_page
from dcgan_dist.cli.result_file import RESULT_NAME
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import whole_file
from dcgan_dist.memorization.check import FITTED, Memorization, check_memorization, learn_coder
from dcgan_dist.memorization.check_options import MemorizationOptions
from dcgan_dist.memorization.image_sets import ImageSet, Role, empty_set, image_set, read_image_set
from dcgan_dist.memorization.memorization_page import memorization_page
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_batches
from dcgan_dist.registry.champion import ChampionRegistry, Version
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.model_uri import ModelOfRun, RegisteredVersion, in_registry, parse_model_uri
from dcgan_dist.registry.promotion import CHECKED_DATA, VERDICT

LEAST_TRAIN = 9
FOLDER = "memorization"
"""Where a run keeps the report among its files."""


def run_check(options: MemorizationOptions) -> int:
    """Compare, judge, write, tell the registry; the verdict is in the result, the exit code is 0 for each.

    Raises:
        InputError: nothing to compare, or images that cannot be read.
    """
    require(
        bool(options.model) != bool(options.samples),
        "give either `model` (a generator) or `samples` (its images), not both",
    )
    require(options.n >= 1, f"`n` {options.n} asks for no sample: give at least 1")
    out = Path(absolute(options.out, "out"))
    tracking_uri = absolute_tracking_uri(options.tracking_uri)
    version = _version(options.model, tracking_uri)  # once: an alias may move while the check runs
    model = version.uri if version else options.model
    samples = _draw(options, model, tracking_uri) if model else _read(options, "samples", options.samples)
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), options.n)).astype(int)
    train = _read(options, "train", options.train, samples.side)
    require(len(train) >= LEAST_TRAIN, f"`train` holds {len(train)} images, at least {LEAST_TRAIN} are needed")
    held_out = _read(options, "held_out", options.held_out, samples.side) if options.held_out else empty_set()
    if held_out.sha256 == train.sha256:
        print(
            f"warning: --train and --held-out are the same {len(train):,} images, so none of them is held out and the verdict "
            "will be inconclusive: prepare shards with --val-fraction, or name other images"
        )
    print(f"{len(chosen):,} samples, {len(train):,} training images, {len(held_out):,} held-out images")
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be

    print(f"learning a code from {min(FITTED, len(train) + len(held_out)):,} images")
    coder = learn_coder(train.images, held_out.images, seed=options.seed)
    found = check_memorization(samples.images[chosen], train.images, held_out.images, coder, seed=options.seed)
    title = f"Memorization: {', '.join(map(_shown, [model] if model else options.samples))}"
    html = memorization_page(title, found, samples.images[chosen], train.images, held_out.images)
    result = json.dumps(_result(options, model, found, train, held_out), indent=1)
    with _writing(out):
        report = save_page(html, out / "report.html")
        with whole_file(out / RESULT_NAME) as unfinished:
            unfinished.write_text(result + "\n", encoding="utf-8")
    print(f"verdict: {found.verdict.verdict}", *found.verdict.reasons, f"report: {report}", sep="\n  ")
    if model:
        _tell(model, version, tracking_uri, found, train, out)
    return 0


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"`out` {out} cannot be written ({error.strerror}): name another place") from error


def _read(options: MemorizationOptions, role: Role, paths: tuple[str, ...], side: int = 0) -> ImageSet:
    places = [absolute(path, role) for path in paths]
    return read_image_set(places, role, side=side, crop=options.crop)


def _version(model: str, tracking_uri: str) -> Version | None:
    """The registered version that a model's address means now; None for one that means none."""
    if not in_registry(model) or not isinstance(parse_model_uri(model), RegisteredVersion):
        return None
    return ChampionRegistry(tracking_uri).version(model)


def _draw(options: MemorizationOptions, model: str, tracking_uri: str) -> ImageSet:
    generator = load_generator(model, tracking_uri)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bounds = (-1.0, 1.0) if generator.config.output == "tanh" else (0.0, 1.0)
    batches = sample_batches(generator.to(device), options.n, seed=options.seed)
    return image_set(np.concatenate([to_uint8(batch, bounds).cpu().numpy() for batch in batches]))


def _result(
    options: MemorizationOptions, model: str, found: Memorization, train: ImageSet, held_out: ImageSet
) -> dict[str, Any]:
    source = (
        {"model": _shown(model), "asked": _shown(options.model)}
        if model
        else {"samples_from": [_shown(path) for path in options.samples]}
    )
    data = {
        name: {"sha256": one.sha256, "manifest": one.manifest, "unreadable": one.unreadable}
        for name, one in (("train", train), ("held_out", held_out))
    }
    return {"job": "check_memorization"} | found.to_json() | source | {"data": data, "command": _command(options)}


def _command(options: MemorizationOptions) -> str:
    """The command that repeats the check, without the folders and the server of this machine."""
    words = ["python", "jobs/check_memorization.py"]
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name == "tracking_uri":
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [
            f"--{field.name.replace('_', '-')}",
            *(_shown(one) if isinstance(one, str) else str(one) for one in values),
        ]
    return shlex.join(words)


def _shown(place: str) -> str:
    """Without the folders of this machine."""
    return place if in_registry(place) else Path(place).name


def _tell(
    model: str, version: Version | None, tracking_uri: str, found: Memorization, train: ImageSet, out: Path
) -> None:
    """Tag the registered version with the verdict, and keep the report with the run."""
    if not in_registry(model):
        return
    registry, run_id = ChampionRegistry(tracking_uri), ""
    if version is not None:
        run_id = version.run_id
        limit = found.statistics["detection_limit"]
        tags = {
            VERDICT: found.verdict.verdict,
            f"{VERDICT}_reasons": "; ".join(found.verdict.reasons),
            f"{VERDICT}_detection_limit": "" if limit is None else f"{limit:.6f}",
            CHECKED_DATA: train.manifest,
        }
        registry.tag(version, tags)
        print(f"{version.uri} is tagged {VERDICT}={found.verdict.verdict}")
    elif isinstance(named := parse_model_uri(model), ModelOfRun):
        run_id = named.run_id
    for name in ("report.html", RESULT_NAME) if run_id else ():
        registry.keep_file(run_id, out / name, FOLDER)
