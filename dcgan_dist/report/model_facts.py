"""What a report opens on: how good a model is, whether it copies, and what it is."""

from collections.abc import Sequence
from typing import Any

from dcgan_dist.cli.progress import duration
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.lineage import TrainingRecord, training_record
from dcgan_dist.registry.promotion_gate import QUALITY, VERDICT
from dcgan_dist.report.quality_scale import QualityScale
from dcgan_dist.report.result_values import leaves
from dcgan_dist.report.sections import Result, refusing_result

MEASURES = {"quality/fid": "FID", "quality/frechet_random": "Frechet distance"}
"""Names of figures; lower is better."""


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
    generator: Generator,
    identity: dict[str, Any],
    record: TrainingRecord | None,
    results: Sequence[Result],
    *,
    scale: QualityScale | None,
    data: Manifest | None,
) -> list[tuple[str, str]]:
    """How good it is, whether it copies, what it is, what it was trained on and how long.

    `scale` is its quality beside real images, `data` the data set that these are from, where they were given.
    """
    config = generator.config
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    size, colours = config.image_size, "colour" if config.image_channels == 3 else "grey"
    what = f"DCGAN generator, {size} x {size} px, {colours}, {parameters / 1e6:.2g} million parameters"
    unknown = "unknown: no run and no result of a training job"
    _, reasons = verdict_of(identity, results)
    trained = data.split("train") if data and "train" in data.splits else data
    same = trained is not None and identity.get("tags", {}).get("manifest_hash") == trained.hash
    images = trained.samples if trained and same else 0
    return [
        ("Quality", scale.reasons if scale else quality_of(record) if record else unknown),
        ("Copies", reasons or "not checked: run jobs/check_memorization.py"),
        ("What", what),
        ("Trained on", _data(record, images) if record else unknown),
        ("How long", _length(record) if record else unknown),
    ]


def verdict_of(identity: dict[str, Any], results: Sequence[Result]) -> tuple[str, str]:
    """Verdict of the memorization check and its reasons: from a result, else from the version's tags; else empty."""
    for result in results:
        if result.job == "check_memorization":
            with refusing_result(result):
                return str(result.content["verdict"]), "; ".join(map(str, result.content.get("reasons", [])))
    tags = identity.get("tags", {})
    return tags.get(VERDICT, ""), tags.get(f"{VERDICT}_reasons", "")


def quality_of(record: TrainingRecord) -> str:
    """The figure by which versions are compared, and where it began."""
    for name in QUALITY:
        if name in record.quality:
            first, last = record.quality[name]
            began = f", {first:.3g} when it was first measured" if first != last else ""
            return f"{MEASURES[name]} {last:.3g}{began} (lower is better; for a scale give --shards)"
    return "not measured"


def _data(record: TrainingRecord, images: int) -> str:
    """The data set, its number of images (0: unknown), and whether it was thinned out."""
    settings = record.settings
    number, parts = f": {images:,} images" if images and not settings.get("keep_list") else "", []
    batch = settings.get("data.batch_size", "")
    if record.epochs and batch.isdecimal():
        batches = record.images_seen / record.epochs / int(batch)
        parts.append(f"{batches:,.0f} whole batches of {batch} in an epoch")
    if "keep_list" in settings:
        parts.append(f"near duplicates {'' if settings['keep_list'] else 'not '}removed before")
    return f"{settings.get('dataset', 'unknown data')}{number}" + (f" ({', '.join(parts)})" if parts else "")


def _length(record: TrainingRecord) -> str:
    parts = [f"{record.images_seen:,} images seen"]
    if record.epochs:
        parts.append(f"{record.epochs:.1f} epochs")
    if record.seconds:
        parts.append(duration(record.seconds))
    return ", ".join(parts)
