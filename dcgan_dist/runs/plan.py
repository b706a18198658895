"""A run worked out before anything starts: data, steps, name; nothing here writes, and no cluster is touched."""

import dataclasses
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from dcgan_dist.config import TrainConfig, flatten, from_dict, replace
from dcgan_dist.data.shard_plan import ShardPlan, default_streams
from dcgan_dist.data.shards.keep_list import KeepList, load_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import Batch, OnBadSample, stream_batches
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import content_hash
from dcgan_dist.presets import preset
from dcgan_dist.runs.measurement_plan import MeasurementPlan, plan_measurements
from dcgan_dist.runs.rank_precision import recorded_precision
from dcgan_dist.training.loop import Intervals

GRID_EPOCHS = (1, 5)  # the epochs whose samples the paper shows


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """Everything that follows from a config and the manifest it names."""

    config: TrainConfig
    """With paths made absolute."""
    manifest: Manifest
    """Manifest of the split that is trained on."""
    held_out: Manifest
    """Manifest of the split that quality is measured against."""
    keep_list: KeepList | None
    shard_plan: ShardPlan
    intervals: Intervals
    """From the first step; a resumed run begins later."""
    measurements: MeasurementPlan
    precision: str = ""
    """What `engine.precision` auto means for this run, once it was decided; empty: what it means on each rank's device."""

    @property
    def rank_config(self) -> TrainConfig:
        """The config as ranks compute by it."""
        return replace(self.config, "engine.precision", self.precision) if self.precision else self.config

    def begun_in(self, precision: str) -> "RunPlan":
        """The plan of a first start in this precision: how much is measured follows from the speed of the steps."""
        plan = dataclasses.replace(self, precision=precision)
        measurements = plan_measurements(plan.rank_config, plan.intervals, plan.held_out.samples)
        return dataclasses.replace(plan, measurements=measurements)

    @property
    def images(self) -> int:
        """Real images of the whole run."""
        return self.intervals.last * self.config.data.batch_size

    @property
    def identity(self) -> dict[str, Any]:
        """What must not change between two starts of one run: dotted path -> value, and hashes of the data."""
        fixed = {k: v for k, v in flatten(self.config).items() if k not in (*FREE_FIELDS, *GROWING_FIELDS)}
        fixed["manifest hash"] = self.manifest.hash
        fixed["keep list hash"] = self.keep_list.hash if self.keep_list else ""
        return json.loads(json.dumps(fixed))

    @property
    def name(self) -> str:
        """The given name, else the preset and 8 hex digits of what differs from it, the data included.

        So a field that a later version adds changes no name while it has its default.
        """
        usual = json.loads(json.dumps(flatten(preset(self.config.preset))))
        unusual = {name: value for name, value in self.identity.items() if name not in usual or value != usual[name]}
        return self.config.run_name or f"{self.config.preset}-{content_hash(unusual)[:8]}"


def plan_run(config: TrainConfig) -> RunPlan:
    """Work out a run.

    Raises:
        InputError: shards, keep list, batch or ranks do not fit together.
    """
    manifest = load_manifest(config.shards)
    train = manifest.split("train") if "train" in manifest.splits else manifest
    # Never the test split: the checkpoint that is registered is chosen by it.
    held_out = manifest.split("val") if "val" in manifest.splits else train
    check_images(config, train)

    keep_list = load_keep_list(config.keep_list, train) if config.keep_list else None
    shard_plan = ShardPlan(
        shard_samples=train.shard_samples,
        batch_size=config.data.batch_size,
        streams=config.data.streams or default_streams(config.data.batch_size),
        window=config.data.window,
        seed=config.seed,
        keep=keep_list.positions if keep_list else None,
    )
    most = config.workers[1]
    shard_plan.owned_streams(0, most)  # refuses more ranks than streams
    rows = min(len(shard_plan.rows(rank, most)) for rank in range(most))
    require(
        rows > 1 or config.norm_group == "synchronised",
        f"{most} ranks leave a rank {rows} row of a batch of {config.data.batch_size}, which has no variance to normalise by: "
        "lower `num_workers`, raise `data.batch_size`, or add `norm_group=synchronised`",
    )
    intervals = run_intervals(config, shard_plan.steps_per_epoch)
    return RunPlan(
        config=config,
        manifest=train,
        held_out=held_out,
        keep_list=keep_list,
        shard_plan=shard_plan,
        intervals=intervals,
        measurements=plan_measurements(config, intervals, held_out.samples),
    )


def run_batches(
    plan: RunPlan,
    *,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
    on_bad_sample: OnBadSample | None = None,
) -> Generator[Batch]:
    """A rank's rows of every batch of a run, read as its config says; see `stream_batches`."""
    config = plan.config
    return stream_batches(
        plan.manifest,
        plan.shard_plan,
        rank=rank,
        world_size=world_size,
        start_step=start_step,
        image_size=config.model.image_size,
        image_channels=config.model.image_channels,
        crop=config.data.crop,
        loader_workers=config.data.loader_workers,
        prefetch=config.data.prefetch,
        on_bad_sample=on_bad_sample,
    )


def check_images(config: TrainConfig, manifest: Manifest) -> None:
    """Raise InputError unless the shards' images fit the model, and named Inception weights are such."""
    if config.quality.inception_weights:
        from dcgan_dist.quality.inception import InceptionFeatures  # imports the library, of an extra, that measures

        InceptionFeatures(config.quality.inception_weights)
    size, wanted = manifest.image_size, config.model.image_size
    require(
        size == wanted or (config.data.crop == "centre" and size > wanted),
        f"shards {config.shards} hold {size} px images and preset {config.preset} trains on {wanted} px: prepare them with "
        f"`image_size` {wanted}" + (", or add `data.crop=centre`" if size > wanted else ""),
    )
    require(
        config.model.classes == 0 or manifest.classes == config.model.classes,
        f"shards {config.shards} have {manifest.classes} classes and preset {config.preset} is conditioned on "
        f"{config.model.classes}: prepare them with labels",
    )


def run_intervals(config: TrainConfig, steps_per_epoch: int) -> Intervals:
    """Steps of the run and when to report and save."""
    batch = config.data.batch_size
    last = -(-config.images // batch) if config.images else config.epochs * steps_per_epoch
    save = config.checkpoint_every_images // batch or max(1, last // 10)
    report = config.report_every_images // batch or max(10, last // 200)
    return Intervals(
        first=0,
        last=last,
        report=report,
        save=save,
        also_save=tuple(epoch * steps_per_epoch for epoch in GRID_EPOCHS),
    )


def check_same_run(plan: RunPlan, recorded: dict[str, Any]) -> None:
    """Raise InputError if a run of this name was started with something else that matters.

    Args:
        plan: what is asked for now.
        recorded: `run.json` of the run that has the name.
    """
    # A field that did not exist when the run was started was, in effect, at its default.
    then = json.loads(json.dumps(flatten(from_dict(TrainConfig, recorded["config"]))))
    before = {name: then[name] for name in plan.identity if name in then} | recorded["identity"]
    check_same_identity(before, plan.identity, name=plan.name, storage=plan.config.storage)
    if plan.images < recorded["images"]:
        raise InputError(
            f"run {plan.name} was started for {recorded['images']} images and epochs/images now ask for {plan.images}: "
            "a run can be made longer, not shorter; give at least the old length, or another `run_name`"
        )


def check_same_identity(before: dict[str, Any], now: dict[str, Any], *, name: str, storage: str) -> None:
    """Raise InputError, with the fields that differ, if a run of this name was started with something else."""
    changed = sorted(field for field in before.keys() | now.keys() if before.get(field) != now.get(field))
    differences = ", ".join(f"{field} was {before.get(field)!r} and is now {now.get(field)!r}" for field in changed[:4])
    require(
        not changed,
        f"run {name} in {storage} was started with another config: {differences}; "
        "give back the old value, or another `run_name`",
    )


def record(plan: RunPlan, **more: Any) -> dict[str, Any]:
    """Content of `run.json`."""
    return {
        "identity": plan.identity,
        "images": plan.images,
        "config": dataclasses.asdict(plan.config),
        "manifest_hash": plan.manifest.hash,
        "measurements": dataclasses.asdict(plan.measurements),
        "precision": plan.precision,
    } | more


def as_recorded(plan: RunPlan, recorded: dict[str, Any]) -> RunPlan:
    """The plan, measured and computed as at the first start, so that a run that was made longer or moved stays the same run.

    Args:
        plan: what is asked for now.
        recorded: `run.json` of the run that has the name.
    """
    quality = plan.config.quality
    # Runs of versions that set no bound measured every checkpoint in full.
    full = MeasurementPlan(samples=quality.samples, held_out=min(quality.held_out, plan.held_out.samples))
    then = recorded.get("measurements", dataclasses.asdict(full))
    plan = dataclasses.replace(plan, measurements=from_dict(MeasurementPlan, then))
    return dataclasses.replace(plan, precision=recorded_precision(recorded["config"], recorded.get("precision", "")))


# What may differ between two starts of the same run: where and how it runs. With norm_group=rank the number of ranks
# changes the rows that are normalised together, and so the result; the same number of ranks repeats it exactly.
FREE_FIELDS = (
    *("num_workers", "use_gpu", "max_failures", "placement_timeout", "data.loader_workers", "data.prefetch"),
    *("keep_checkpoints", "keep_every_images", "hang_seconds", "resize_seconds", "on_non_finite", "max_rollbacks"),
    *("shards", "keep_list", "storage", "run_name", "heartbeat_seconds"),  # where, not what: content counts by its hash
    *("tracking_uri", "experiment", "register", "report_every_images", "verbose", "dry_run"),
    *("plan", "price"),
)


# May grow from one start to the next, never shrink: they say when the run ends.
GROWING_FIELDS = ("epochs", "images")
