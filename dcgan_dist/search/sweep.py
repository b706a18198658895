"""Handing trainings to Ray Tune: as many at a time as there is room for, in processes that are used again.

Tune's own record of a sweep is pickled, and restoring from it would unpickle what lies in the storage. It is never read:
what has an outcome in the storage is done, what has a checkpoint goes on from it, and a sweep is always new to Tune.
"""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler

from dcgan_dist.cluster.capacity import max_resources
from dcgan_dist.errors import InputError
from dcgan_dist.search.search_config import SearchConfig
from dcgan_dist.search.trial import VALIDATION, Context, run_task, seconds_per_step
from dcgan_dist.storage.filesystems import as_pyarrow
from dcgan_dist.storage.run_folder import RunFolder

TUNE_FOLDER = "tune"
SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a CSV, a JSON and an event file per trial, beside the tracked run
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the driver has its own
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # a record that nobody reads
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one draws a box even where there is nothing to show
}


@dataclass(frozen=True, kw_only=True)
class Listener(tune.Callback):
    """What the driver does when Tune starts, hears from or ends a task, by the task's number."""

    ended: Callable[[int, str], None]
    """Number, and what the cluster says went wrong; empty where nothing did."""
    check: Callable[[], None]
    """Called several times a second; may raise to end the sweep."""
    started: Callable[[int], None] = lambda number: None
    reported: Callable[[int, dict[str, float], int], None] = lambda number, metrics, images_seen: None
    """Number, metrics, images seen."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what it is given; the callbacks hold connections

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune looks for something to do."""
        self.check()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A process has begun with it, for the first time or again."""
        self.started(trial.config["task"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """It has measured something."""
        if result["images_seen"]:
            metrics = {name: float(value) for name, value in result.items() if "/" in name}
            self.reported(trial.config["task"], metrics, int(result["images_seen"]))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """It came to its end, or the scheduler stopped it."""
        self.ended(trial.config["task"], "")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """It raised, or its process died, more often than is allowed."""
        self.ended(trial.config["task"], _cause(trial))


def resources_per_trial(config: SearchConfig) -> dict[str, float]:
    """What a trial asks of the cluster."""
    return {"CPU": config.cpus_per_trial} | ({"GPU": config.gpus_per_trial} if config.gpus_per_trial else {})


def check_room(config: SearchConfig) -> None:
    """Raise InputError if no trial can ever run on the cluster."""
    most = max_resources()
    for name, amount in resources_per_trial(config).items():
        if most is not None and amount > most.get(name, 0):
            raise InputError(
                f"a trial needs {amount:g} {name}, and the cluster can have at most {most.get(name, 0):g}: lower "
                f"`{name.lower()}s_per_trial`, or add nodes"
            )


def places(config: SearchConfig) -> int:
    """Trials that run at a time, at most; 1 where the cluster does not say what it can have."""
    most = max_resources() or {}
    room = min((int(most.get(name, 0) / amount) for name, amount in resources_per_trial(config).items()), default=1)
    return max(1, min(room, config.max_concurrent or room))


def sweep(config: SearchConfig, folder: RunFolder, context: Context, listener: Listener) -> None:
    """Do all tasks of the context, which every training is given through the cluster's object store."""
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    if not config.verbose:
        logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it misses the files that are switched off above
    folder.remove(f"{folder.path}/{TUNE_FOLDER}")
    scheduler = AsyncHyperBandScheduler(
        metric=VALIDATION,
        mode="min",
        time_attr="training_iteration",
        max_t=config.measurements,
        grace_period=1,
        reduction_factor=2,
    )
    trainable = tune.with_resources(
        tune.with_parameters(_train_in_tune, context=context),
        {name.lower(): amount for name, amount in resources_per_trial(config).items()},
    )
    tuner = tune.Tuner(
        trainable,
        param_space={"task": tune.grid_search(list(context.tasks))},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=config.max_concurrent or None,
            scheduler=scheduler if config.asha and not context.keep_network else None,
        ),
        run_config=tune.RunConfig(
            name=TUNE_FOLDER,
            storage_path=folder.path,
            storage_filesystem=as_pyarrow(folder.fs),
            callbacks=[listener],
            failure_config=tune.FailureConfig(max_failures=config.max_failures),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        folder.remove(f"{folder.path}/{TUNE_FOLDER}")


def _train_in_tune(settings: dict[str, Any], context: Context) -> None:
    def tell(metrics: dict[str, float], images_seen: int) -> None:
        tune.report({**metrics, "images_seen": images_seen})

    outcome = run_task(context, settings["task"], tell)
    if outcome["status"] == "FAILED":
        tune.report({VALIDATION: 100.0, "images_seen": 0})  # Tune wants its metric from every trial; not recorded


def _cause(trial: Trial) -> str:
    """What went wrong, in one line of the text that Tune keeps of it (it keeps a pickle too)."""
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or "actor died" in text:
        exit_type = re.search(r"Worker exit type: \w+", text)
        return "its process died" + (f": {exit_type[0]}" if exit_type else "")
    return lines[-1][:500]


def probe(config: SearchConfig, context: Context, steps: int) -> float:
    """Seconds per step of the context's first task where a trial would run."""
    cpus, gpus = config.cpus_per_trial, config.gpus_per_trial
    task = ray.remote(seconds_per_step).options(num_cpus=cpus, num_gpus=gpus)
    return ray.get(task.remote(context, steps))
