"""A table from data to row by one command: a model that is trained first, and which of its checkpoints is measured."""

import dataclasses
from pathlib import Path

from dcgan_dist.config import OptimizerConfig, TrainConfig
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError
from dcgan_dist.presets import preset
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.driver import run_training
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tables.table_options import TRAIN, TableOptions

RUNS = "runs"
KEPT = 12
"""Checkpoints that stay, about all of a run."""


def training_config(options: TableOptions, dataset: str, shards: str) -> TrainConfig:
    """The run that `model`, train:PRESET, stands for: the preset's own in `out`, its learning rates over other `epochs` in proportion.

    Raises:
        InputError: no such preset.
    """
    config = preset(options.model.removeprefix(TRAIN))
    epochs = options.epochs or config.epochs
    return dataclasses.replace(
        config,
        dataset=dataset,
        shards=shards,
        storage=str(Path(options.out) / RUNS),
        run_name=f"{config.preset}-{epochs}",
        epochs=epochs,
        optimizer_g=_over(config.optimizer_g, epochs, config.epochs),
        optimizer_d=_over(config.optimizer_d, epochs, config.epochs),
        keep_checkpoints=KEPT,
        seed=options.seed,
        use_gpu=options.use_gpu,
        tracking_uri=options.tracking_uri,
        experiment=options.experiment,
        register=options.track,
    )


def _over(optimizer: OptimizerConfig, epochs: int, instead_of: int) -> OptimizerConfig:
    """The same fall of the learning rate in a run of another length."""
    if not optimizer.decay_epochs:
        return optimizer
    constant, decay = (-(-n * epochs // instead_of) for n in (optimizer.constant_epochs, optimizer.decay_epochs))
    return dataclasses.replace(optimizer, constant_epochs=constant, decay_epochs=decay)


def train_first(options: TableOptions, dataset: str, manifest: Manifest) -> tuple[int, str]:
    """Train on the split `train`, or go on; returns the exit code of the run and its folder.

    Raises:
        InputError: as `run_training`.
    """
    config = training_config(options, dataset, manifest.location)
    try:
        return run_training(config), RunFolder(config.storage, config.run_name).path
    except InputError as error:
        raise error.renamed(run_name="out", storage="out", shards="data") from error


def best_checkpoint(model: str) -> tuple[str, str]:
    """For the folder of a run its checkpoint with the least Frechet distance, which reads no label, and what it was chosen by.

    Any other model is returned as it is, with nothing.
    """
    folder = Path(model)
    if not (folder / "run.json").is_file():
        return model, ""
    best = CheckpointStore(RunFolder(str(folder.parent), folder.name)).best()
    if best is None:
        return model, ""
    by = "the newest" if best.frechet is None else f"the one with the least Frechet distance, {best.frechet:.3g},"
    return best.path, f"of the checkpoints of the run {by} at {best.images_seen:,} images"
