"""The public functions that join several rooms; `from dcgan_dist import ...` gives them."""

import itertools
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from torch import Tensor

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.data.reader import Crop
from dcgan_dist.data.shard_plan import ShardPlan, default_streams
from dcgan_dist.data.shards.keep_list import load_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import Batch
from dcgan_dist.data.stream import stream_batches as stream_planned_batches
from dcgan_dist.errors import require
from dcgan_dist.models.generator import Generator as GeneratorNetwork
from dcgan_dist.presets import preset as find_preset
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_images as sample_floats
from dcgan_dist.registry.load import load_generator


def sample_images(
    generator_or_model: GeneratorNetwork | str, n: int, *, seed: int = 0, labels: Sequence[int] | None = None
) -> Tensor:
    """Draw images from a trained generator; the first ones of a seed are the same for every n.

    >>> from dcgan_dist import sample_images
    >>> images = sample_images("models:/dcgan-rooms-generator@candidate", 16, seed=0)
    >>> assert images.shape == (16, 3, 32, 32)

    Args:
        generator_or_model: a generator, or what `load_generator` takes.
        n: number of images.
        seed: of z.
        labels: class of each image, for a generator with classes; None: the classes take turns.

    Returns:
        (n, c, s, s) uint8, on the CPU.

    Raises:
        InputError: no such model, or labels that do not fit it.
    """
    generator = load_generator(generator_or_model) if isinstance(generator_or_model, str) else generator_or_model
    images = sample_floats(generator, n, seed=seed, labels=labels)
    return to_uint8(images, generator.config.output)


def stream_batches(
    manifest_or_path: Manifest | str | Path,
    *,
    batch_size: int,
    seed: int = 0,
    keep_list: str = "",
    rank: int = 0,
    world_size: int = 1,
    epochs: int = 1,
    start_step: int = 0,
    image_size: int = 0,
    crop: Crop = "none",
    loader_workers: int = 0,
) -> Generator[Batch]:
    """Read shards in the order in which a training run reads them.

    >>> from dcgan_dist import stream_batches
    >>> for images, labels in stream_batches("shards/rooms", batch_size=16, seed=0):
    ...     assert images.shape == (16, 3, 32, 32)

    Args:
        manifest_or_path: of `open_shards`, or what it takes; its train split is read where it has one.
        batch_size: rows of the global batch, which all ranks share.
        seed: of the order.
        keep_list: file that de-duplication wrote; empty: all samples.
        rank: 0 to world_size - 1.
        world_size: number of ranks; it does not change what a global batch holds.
        epochs: passes over the data; samples that do not fill a batch are left out, others in each epoch.
        start_step: global batches to skip.
        image_size: pixels per side; 0: as stored.
        crop: "centre" takes the middle of larger images.
        loader_workers: processes that read and decode; 0: a thread.

    Returns:
        Batches of images (b, c, s, s) uint8 and labels (b,) int64, None for data without labels.

    Raises:
        InputError: no shards, a keep list of other shards, or sizes that do not fit together.
    """
    manifest = manifest_or_path if isinstance(manifest_or_path, Manifest) else load_manifest(str(manifest_or_path))
    if "train" in manifest.splits:
        manifest = manifest.split("train")
    plan = ShardPlan(
        shard_samples=manifest.shard_samples,
        batch_size=batch_size,
        streams=default_streams(batch_size),
        seed=seed,
        keep=load_keep_list(keep_list, manifest).positions if keep_list else None,
    )
    batches = stream_planned_batches(
        manifest,
        plan,
        rank=rank,
        world_size=world_size,
        start_step=start_step,
        image_size=image_size or manifest.image_size,
        crop=crop,
        loader_workers=loader_workers,
    )
    return _first(batches, epochs * plan.steps_per_epoch - start_step)


def _first(batches: Generator[Batch], count: int) -> Generator[Batch]:
    with closing(batches):
        yield from itertools.islice(batches, max(0, count))


def train(config: TrainConfig | None = None, *, preset: str = "", **fields: Any) -> dict[str, Any]:
    """Train a DCGAN, or go on with a run of the same name, on the Ray cluster at hand or on this machine.

    >>> from dcgan_dist import train
    >>> fields = {"epochs": 2, "data.batch_size": 16, "quality.samples": 100, "snapshot_batches": 10}
    >>> result = train(preset="demo32", shards="shards/rooms", storage="runs", **fields)
    >>> assert result["status"] == "FINISHED"

    Args:
        config: every setting.
        preset: in place of a config, the name of the preset to start from.
        **fields: settings to change, by their (dotted) names in `TrainConfig`.

    Returns:
        What the run's result.json holds: `status` (FINISHED, FAILED or KILLED), `run_name`, `run_id`, `images_seen`,
        `config` and more. Empty after a dry run.

    Raises:
        InputError: something that you can mend, before anything was written.
    """
    require((config is None) != (preset == ""), "training needs either a config or the name of a `preset`")
    config = config or find_preset(preset)
    for name, value in fields.items():
        config = replace(config, name, value)
    # Imported late: reading shards and sampling need no Ray.
    from dcgan_dist.runs.driver import run_training
    from dcgan_dist.runs.job import with_absolute_places
    from dcgan_dist.runs.plan import plan_run
    from dcgan_dist.storage.run_folder import RunFolder

    config = with_absolute_places(config)
    run_training(config)
    if config.dry_run or config.plan:
        return {}
    return RunFolder(config.storage, plan_run(config).name).read_json("result.json") or {}
