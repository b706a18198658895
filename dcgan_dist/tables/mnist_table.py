"""The MNIST table: error of the nearest neighbour rule on the test digits, learnt from generated digits or from real ones."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.data.label_draws import check_labels
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.files import content_hash
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.presets import preset
from dcgan_dist.registry.load import describe_training, untrained
from dcgan_dist.tables.extract import parameters_hash
from dcgan_dist.tables.generated_digits import (
    BLOCK,
    Digits,
    digit_blocks,
    draw_digits,
    generators,
    load_digits_generator,
    of_digits,
    placed,
    run_checkpoints,
)
from dcgan_dist.tables.job import Measured, Table
from dcgan_dist.tables.nearest_error import NearestError
from dcgan_dist.tables.paper_tables import MNIST, Row
from dcgan_dist.tables.table_options import TRAIN, MnistTableOptions, trains_first
from dcgan_dist.tables.train_first import KEPT
from dcgan_dist.tables.work_seconds import Seconds, digit_seconds

SAMPLES = {"train": 60_000, "test": 10_000}
"""Images of the official files; the data may have cut a validation split from the first."""
COUNTS = {"paper": (1_000, 10_000, 50_000, 10_000_000), "small": (1_000, 10_000)}
TRAINED_ON = 50_000
"""Real digits that the authors' generator learns from."""
SMALL_TEST = 1_000
VALIDATION_SHARE, HELD_OUT = 6, 10_000
"""The last sixth of the official training digits, 10,000: what `prepare_mnist` holds out of training."""
VALIDATION_SAMPLES = {"paper": 10_000, "small": 1_000}
"""Generated digits that each checkpoint of a run is judged by."""
SAVE_EVERY = 50_000
PROGRESS_NAME = "nearest.npz"


def _load(options: MnistTableOptions) -> Generator:
    """The generator that `model` names, of a run that of its first checkpoint, of train:PRESET one before training."""
    if trains_first(options.model):
        config = preset(options.model.removeprefix(TRAIN)).model
        return of_digits(untrained(Generator, config, seed=options.seed))
    if run_checkpoints(options):
        return next(generators(options))[1]
    return load_digits_generator(options.model, options)


def _sample_counts(options: MnistTableOptions) -> tuple[int, ...]:
    """Numbers of generated digits to learn from, rising."""
    return tuple(sorted(options.samples or COUNTS[options.protocol]))


def _columns(options: MnistTableOptions) -> list[str]:
    names = [short(count) for count in _sample_counts(options)]
    return [*names, *(name for name in ("50K", "10M") if name not in names), "real"]


def _work(options: MnistTableOptions, counts: dict[str, int], generator: Generator) -> str:
    candidates = len(run_checkpoints(options))
    choice = (
        f"the best of {candidates} checkpoints by {VALIDATION_SAMPLES[options.protocol]:,} digits of each, then "
        if candidates
        else ""
    )
    return f"{choice}{_sample_counts(options)[-1]:,} generated digits, none of which is kept"


def _seconds(options: MnistTableOptions, counts: dict[str, int], generator: Generator) -> Seconds:
    """Drawing and comparing, of the digits that choose a checkpoint too."""
    test = SMALL_TEST if options.protocol == "small" else SAMPLES["test"]
    generator = placed(generator, options)
    options = dataclasses.replace(options, mode="batch")  # which takes as long, and needs no statistics
    draw, compare = digit_seconds(lambda count: np.concatenate([*draw_digits(generator, 0, count, options)]))
    candidates = KEPT if trains_first(options.model) else len(run_checkpoints(options))
    held_out = (counts.get("train", 0) + counts.get("val", 0)) // VALIDATION_SHARE
    digits, judged = _sample_counts(options)[-1], candidates * VALIDATION_SAMPLES[options.protocol]
    real = counts.get("train", 0) + counts.get("val", 0) if options.real else 0
    return {
        f"choice of one of {candidates} checkpoints": judged * (draw + compare * held_out),
        f"drawing {digits:,} digits": digits * draw,
        f"the nearest of {digits:,} digits to each of {test:,}": digits * test * compare,
        f"the nearest of {real:,} real digits": real * test * compare,
    }


def _check(options: MnistTableOptions, _: Generator, manifest: Manifest) -> None:
    digits = [_labels(manifest, ("train", "val"), "train", options), _labels(manifest, ("test",), "test", options)]
    held_out = len(digits[0]) // VALIDATION_SHARE
    require(
        not trains_first(options.model) or _held_out(manifest) >= held_out,
        f"`data` {manifest.location} holds {_held_out(manifest):,} digits out of training as split val, and {held_out:,} choose "
        f"the checkpoint: prepare it with `val={held_out}`",
    )


def _held_out(manifest: Manifest) -> int:
    """Training digits that are no part of the split `train`."""
    return manifest.split("val").samples if "val" in manifest.splits else 0


def _how_chosen(options: MnistTableOptions, manifest: Manifest, train: Digits) -> str:
    """By which digits a run's checkpoint is chosen, and whether it is known that the run did not learn from them."""
    held_out = len(train.classes) // VALIDATION_SHARE
    path = Path(options.model) / "run.json"
    learnt_from = json.loads(path.read_text(encoding="utf-8")).get("manifest_hash") if path.is_file() else None
    unseen = _held_out(manifest) >= held_out and learnt_from == manifest.split("train").hash
    return "held-out training digits" if unseen else f"the last {held_out:,} training digits, if its run held them out"


def _measure(options: MnistTableOptions, generator: Generator, manifest: Manifest) -> Measured:
    train, test = _read(manifest, ("train", "val"), "train", options), _read(manifest, ("test",), "test", options)
    cut = ()
    if options.protocol == "small":
        test = Digits(test.pixels[:SMALL_TEST], test.classes[:SMALL_TEST])
        cut = (f"small: the first {len(test.classes):,} test digits",)
    counts = _sample_counts(options)
    model, chosen, details = options.model, (), {"key": "model"}
    if run_checkpoints(options):
        errors = _validation_errors(options, train)
        model = min(errors, key=lambda name: errors[name])  # of equal ones the earliest
        by = _how_chosen(options, manifest, train)
        chosen = (f"the best of {len(errors)} checkpoints by {by}: {errors[model]:.2f} % error",)
        details |= {"checkpoint": model, "validation_error_by_checkpoint": errors}
        generator = load_digits_generator(model, options)
    figures = _generated_errors(options, generator, manifest, test)
    ours = Row(
        name="DCGAN",
        figures={short(count): figures[short(count)] for count in counts},
        source="this run",
        deviations=(f"generator: {describe_training(model)}", *chosen, *cut, *_deviations(options)),
        details=details,
    )
    real = _real_errors(train, test) if options.real else {}
    others = [
        Row(
            name=f"real data, {count:,} digits",
            figures={"real": error},
            source="this run",
            deviations=cut,
            details={"key": f"real_{count}"},
        )
        for count, error in real.items()
    ]
    images = {"train": len(train.classes), "test": len(test.classes)}
    return Measured(ours, others, {"data": {"manifest_hash": manifest.hash, "images": images}})


def _deviations(options: MnistTableOptions) -> list[str]:
    """In what the options are not the paper's measurement of generated digits."""
    measured = {short(count) for count in _sample_counts(options)}
    missing = [name for name in map(short, COUNTS["paper"]) if name not in measured]
    standing = "standing statistics instead of those of each batch of 128"
    return [
        *([standing] if options.mode == "standing" else []),
        *([f"digits drawn in {options.precision}"] if options.precision != "float32" else []),
        *([f"columns {', '.join(missing)} not measured"] if missing else []),
    ]


def short(count: int) -> str:
    """1000 as 1K, 10,000,000 as 10M."""
    for size, letter in ((1_000_000, "M"), (1_000, "K")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return str(count)


def _read(manifest: Manifest, splits: tuple[str, ...], name: str, options: MnistTableOptions) -> Digits:
    """The digits of some splits in official order, of which only the first must be there."""
    labels = _labels(manifest, splits, name, options)
    images = [
        read_images(split, split.samples, image_size=28, image_channels=1, on_bad_sample=refuse_bad_sample)
        for split in _present(manifest, splits)
    ]
    pixels = np.concatenate([from_uint8(block, "sigmoid").flatten(1).numpy() for block in images])
    return Digits(pixels, labels)


def _labels(manifest: Manifest, splits: tuple[str, ...], name: str, options: MnistTableOptions) -> NDArray[np.int64]:
    """The classes of these digits."""
    labels = np.concatenate([read_labels(split).numpy() for split in _present(manifest, splits)])
    check_labels(name, labels)
    require(
        options.protocol != "paper" or len(labels) == SAMPLES[name],
        f"the {name} digits are {len(labels):,} and MNIST's are {SAMPLES[name]:,}: give the complete official files, or add "
        "`protocol=small`",
    )
    return labels


def _present(manifest: Manifest, splits: tuple[str, ...]) -> list[Manifest]:
    return [manifest.split(split) for split in splits if split in manifest.splits or split == splits[0]]


def _validation_errors(options: MnistTableOptions, train: Digits) -> dict[str, float]:
    """Per checkpoint the error, %, of its digits as neighbours of the real ones that training held out: no test label is read."""
    held_out = len(train.classes) // VALIDATION_SHARE
    errors = {}
    for model, generator in tqdm(
        generators(options), desc="checkpoints", unit="checkpoint", total=len(run_checkpoints(options))
    ):
        nearest = NearestError(train.pixels[-held_out:], train.classes[-held_out:])
        for block in digit_blocks(generator, 0, (VALIDATION_SAMPLES[options.protocol],), options):
            nearest.add(*block)
        errors[model] = nearest.percent()
        tqdm.write(f"{Path(model).name}: {errors[model]:.2f} % error on {held_out:,} held-out digits")
    return errors


def _real_errors(train: Digits, test: Digits) -> dict[int, float]:
    """Error with the first 50,000 real digits and with all of them, by their number."""
    nearest, errors, count = NearestError(*test), {}, len(train.classes)
    for first in tqdm(range(0, count, BLOCK), desc=f"{count:,} real digits", unit="block"):
        nearest.add(train.pixels[first : first + BLOCK], train.classes[first : first + BLOCK])
        if nearest.count in (TRAINED_ON, count):
            errors[nearest.count] = nearest.percent()
    return errors


def _generated_errors(
    options: MnistTableOptions, generator: Generator, manifest: Manifest, test: Digits
) -> dict[str, float]:
    """Error per number of generated digits, by name; goes on where an earlier call stopped."""
    counts = _sample_counts(options)
    progress = Path(options.out) / PROGRESS_NAME
    identity = [parameters_hash(generator), manifest.hash, len(test.classes), options.seed, options.mode]
    identity = content_hash([*identity, *([options.precision] if options.precision != "float32" else [])])
    nearest = NearestError(*test)
    figures = nearest.load(progress, identity)
    saved = nearest.count
    with progress_bar(counts[-1], "generated digits") as bar:
        bar.update(min(saved, counts[-1]))
        for block in digit_blocks(generator, nearest.count, counts, options):
            nearest.add(*block)
            bar.update(len(block.classes))
            if nearest.count in counts:
                figures[short(nearest.count)] = nearest.percent()
                bar.write(f"{nearest.count:,} generated digits: {nearest.percent():.2f} % error")
            if nearest.count in counts or nearest.count - saved >= SAVE_EVERY:
                nearest.save(progress, identity, figures)
                saved = nearest.count
    missed = [short(count) for count in counts if short(count) not in figures]
    require(
        not missed,
        f"{progress} has already seen {nearest.count:,} digits, past {', '.join(missed)}: choose another `out` for these",
    )
    return figures


MNIST_TABLE = Table(
    name="mnist",
    source=lambda options: MnistSource(path=options.data, val=HELD_OUT if trains_first(options.model) else 0),
    paper=MNIST,
    columns=_columns,
    load=_load,
    work=_work,
    seconds=_seconds,
    check=_check,
    samples=SAMPLES,
    measure=_measure,
)
