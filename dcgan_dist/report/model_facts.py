"""What a report opens on: five plain facts about a model."""

from collections.abc import Sequence
from typing import Any

from dcgan_dist.cli.progress import duration
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.lineage import TrainingRecord, training_record
from dcgan_dist.registry.promotion_gate import QUALITY, VERDICT
from dcgan_dist.report.result_values import leaves
from dcgan_dist.report.sections import Result, refusing_result

MEASURES = {
    "quality/fid": ("FID", "0 would be perfect"),
    "quality/frechet_random": ("Frechet distance", "1,000 real faces to 1,000 others: 1.1"),
}
"""Name of a figure, and what to compare it with; lower is better."""


def record_of(identity: dict[str, Any], results: Sequence[Result], tracking_uri: str) -> TrainingRecord | None:
    """What is known of a model's training: from its run, else from the result of a training job; None: nothing.

    Raises:
        InputError: no answer, or a result that cannot be read.
    """
    if run_id := identity.get("run_id"):
        seen = identity["tags"].get("images_seen", "")
        return training_record(run_id, tracking_uri, int(seen) if seen.isdecimal() else 0)
    for result in results:
        if result.job == "train":
            with refusing_result(result):
                content = result.content
                return TrainingRecord(
                    settings={name: str(value) for name, value in leaves(content.get("config", {})).items()},
                    images_seen=int(content.get("images_seen", 0)),
                    seconds=float(content.get("seconds_of_this_start", 0)),
                    quality={name: (float(value), float(value)) for name, value in content.get("quality", {}).items()},
                )
    return None


def model_facts(
    generator: Generator, identity: dict[str, Any], record: TrainingRecord | None, results: Sequence[Result]
) -> list[tuple[str, str]]:
    """What it is, what it was trained on, how long, how good it is, and whether it copies."""
    config = generator.config
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    size, colours = config.image_size, "colour" if config.image_channels == 3 else "grey"
    what = f"DCGAN generator, {size} x {size} px, {colours}, {parameters / 1e6:.2g} million parameters"
    facts = [("What", what)]
    if record:
        facts += [("Trained on", _data(record)), ("How long", _length(record)), ("Quality", quality_of(record))]
    else:
        facts += [
            (name, "unknown: no run and no result of a training job") for name in ("Trained on", "How long", "Quality")
        ]
    _, reason = verdict_of(identity, results)
    return [*facts, ("Copies", reason or "not checked: run jobs/check_memorization.py")]


def verdict_of(identity: dict[str, Any], results: Sequence[Result]) -> tuple[str, str]:
    """Verdict of the memorization check and its first reason: from a result, else from the version's tags; else empty."""
    for result in results:
        if result.job == "check_memorization":
            with refusing_result(result):
                return str(result.content["verdict"]), str(next(iter(result.content.get("reasons", [])), ""))
    tags = identity.get("tags", {})
    return tags.get(VERDICT, ""), tags.get(f"{VERDICT}_reasons", "").partition("; ")[0]


def quality_of(record: TrainingRecord) -> str:
    """The figure by which versions are compared, and where it began."""
    for name in QUALITY:
        if name in record.quality:
            first, last = record.quality[name]
            measure, yardstick = MEASURES[name]
            began = f", at first {first:.3g}" if first != last else ""
            return f"{measure} {last:.3g}{began} ({yardstick})"
    return "not measured"


def _data(record: TrainingRecord) -> str:
    number = f", {record.images_seen / record.epochs:,.0f} images in an epoch" if record.epochs else ""
    return record.settings.get("dataset", "unknown data") + number


def _length(record: TrainingRecord) -> str:
    parts = [f"{record.images_seen:,} images seen"]
    if record.epochs:
        parts.append(f"{record.epochs:.1f} epochs")
    if record.seconds:
        parts.append(f"{duration(record.seconds)} h")
    return ", ".join(parts)
