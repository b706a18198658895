"""A table from data to row by one command: a model that is trained first, and which of its checkpoints is measured."""

import dataclasses
from pathlib import Path

from dcgan_dist.config import TrainConfig
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.presets import preset
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.driver import run_training
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tables.table_options import TRAIN, TableOptions

RUNS = "runs"
KEPT = 12
"""Checkpoints that stay, about all of a run."""


def training_config(options: TableOptions, dataset: str, shards: str) -> TrainConfig:
    """The run that `model`, train:PRESET, stands for: the preset's own but for its length, in `out`.

    Raises:
        InputError: no such preset.
    """
    config = preset(options.model.removeprefix(TRAIN))
    return dataclasses.replace(
        config,
        dataset=dataset,
        shards=shards,
        storage=str(Path(options.out) / RUNS),
        run_name=config.preset,
        epochs=options.epochs or config.epochs,
        keep_checkpoints=KEPT,
        seed=options.seed,
        use_gpu=options.use_gpu,
        tracking_uri=options.tracking_uri,
        experiment=options.experiment,
    )


def train_first(options: TableOptions, dataset: str, manifest: Manifest) -> tuple[int, str]:
    """Train on the split `train`, or go on; returns the exit code of the run and its folder.

    Raises:
        InputError: as `run_training`.
    """
    config = training_config(options, dataset, manifest.location)
    return run_training(config), RunFolder(config.storage, config.run_name).path


def best_checkpoint(model: str) -> str:
    """For the folder of a run its checkpoint with the least Frechet distance, which reads no label; any other name as it is."""
    if not (Path(model) / "run.json").is_file():
        return model
    folder = Path(model)
    best = CheckpointStore(RunFolder(str(folder.parent), folder.name)).best()
    return best.path if best else model
