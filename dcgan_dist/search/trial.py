"""One training of a classifier as a cluster runs it: goes on from its checkpoint, and leaves its outcome in the storage."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dcgan_dist.config import SupervisedConfig, from_dict
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.search.classifier_training import (
    ImagesAndLabels,
    Learner,
    labelled_batches,
    measurement_epochs,
    steps_per_epoch,
)
from dcgan_dist.search.few_labels import Draw, LabelledImages
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.loop import Intervals, NonFiniteError, Report, train
from dcgan_dist.training.whole_checkpoint import Progress, load_state

OUTCOME = "outcome.json"
VALIDATION, TEST = "error_percent/validation", "error_percent/test"

Tell = Callable[[dict[str, float], int], None]
"""Gets metrics and images seen; does not return where the trial is to stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A training to be done."""

    name: str
    """Its folder below the search's, such as trials/007."""
    config: dict[str, Any]
    """SupervisedConfig as a dict."""
    draw: int
    """Which labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What all trainings of a sweep share."""

    storage: str
    run_name: str
    tasks: Mapping[int, Task]
    draws: Mapping[int, Draw]
    """By number, those that tasks name."""
    test: LabelledImages | None
    """Measured at the end of each training; None: not, as choices are still to be made."""
    keep_network: bool
    """Leave the trained network with its standing statistics as the last checkpoint."""
    measurements: int
    checkpoint_seconds: float
    threads: int


def run_task(context: Context, number: int, tell: Tell) -> dict[str, Any]:
    """Do a training, or go on with it, and write its outcome.

    A configuration that cannot be trained (a non-finite loss, no memory) is an outcome like any other. An error of the
    storage or of the program is not: it is raised, and the cluster tries again.

    Returns:
        The outcome: `status` FINISHED or FAILED, and figures or `error`.
    """
    task = context.tasks[number]
    folder = RunFolder(context.storage, f"{context.run_name}/{task.name}")
    if already := folder.read_json(OUTCOME):
        return already  # its process died between the outcome and what comes after it
    torch.set_num_threads(context.threads)
    began = time.monotonic()
    try:
        outcome: dict[str, Any] = {"status": "FINISHED"} | _train(context, task, folder, tell)
    except (NonFiniteError, MemoryError, torch.OutOfMemoryError) as error:
        outcome = {"status": "FAILED", "error": f"{type(error).__name__}: {error}"}
    except RuntimeError as error:
        if "memory" not in str(error):  # torch's CPU allocator has no exception of its own
            raise
        outcome = {"status": "FAILED", "error": f"out of memory: {str(error).splitlines()[0]}"}
    outcome["seconds"] = round(time.monotonic() - began, 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the next training in this process may share the GPU with others
    folder.write_json(OUTCOME, outcome)
    if not context.keep_network:
        for path in CheckpointStore(folder).paths():
            folder.remove(path)
    if outcome["status"] == "FINISHED":
        tell(outcome["metrics"], outcome["images_seen"])  # last, as a scheduler may end a trial that tells something
    return outcome


def seconds_per_step(context: Context, steps: int) -> float:
    """Seconds per step of the first task, over `steps` steps after two that do not count; nothing is written."""
    task = next(iter(context.tasks.values()))
    torch.set_num_threads(context.threads)
    config = from_dict(SupervisedConfig, task.config)
    learner = Learner(config, device="cuda" if torch.cuda.is_available() else "cpu")
    batches = labelled_batches(as_tensors(context.draws[task.draw].train), config)
    began = 0.0
    for number in range(steps + 2):
        if number == 2:
            began = time.perf_counter()
        loss = learner.step(number, next(batches))["loss/train"]
        loss.item()  # waits for the device
    return (time.perf_counter() - began) / steps


def _train(context: Context, task: Task, folder: RunFolder, tell: Tell) -> dict[str, Any]:
    config = from_dict(SupervisedConfig, task.config)
    train_data, validation = (as_tensors(images) for images in context.draws[task.draw])
    per_epoch = steps_per_epoch(len(train_data[1]), config)
    intervals = Intervals(first=0, last=config.epochs * per_epoch, report=per_epoch, save=per_epoch)
    measured = {epoch * per_epoch for epoch in measurement_epochs(config, context.measurements)}
    store = CheckpointStore(folder)
    learner = Learner(config, device="cuda" if torch.cuda.is_available() else "cpu")
    resumed_at, saved = _resume(store, learner), time.monotonic()
    means: dict[str, float] = {}

    def keep_means(report: Report) -> None:
        means.clear()
        means.update(report.metrics)

    def measure() -> dict[str, float]:
        learner.standardise(train_data[0])
        return {**means, VALIDATION: learner.error_percent(validation)}

    def save(done: int) -> None:
        nonlocal saved
        if done == intervals.last:
            return
        if done in measured:
            tell(measure(), done * config.batch_size)
        if time.monotonic() - saved >= context.checkpoint_seconds:
            _write(store, config, done, learner.state())
            saved = time.monotonic()

    train(
        learner.step,
        labelled_batches(train_data, config, resumed_at),
        dataclasses.replace(intervals, first=resumed_at),
        batch_size=config.batch_size,
        synchronise=gather_ranks,
        report=keep_means,
        save=save,
    )
    metrics = measure()
    if context.test is not None:
        metrics[TEST] = learner.error_percent(as_tensors(context.test))
    if context.keep_network:
        _write(store, config, intervals.last, {"network": learner.network.state_dict()})
    return {
        "validation_error_percent": metrics[VALIDATION],
        "test_error_percent": metrics.get(TEST),
        "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
        "images_seen": intervals.last * config.batch_size,
        "steps": intervals.last,
        "resumed_at_step": resumed_at,
        "parameters": sum(parameter.numel() for parameter in learner.network.parameters()),
    }


def _resume(store: CheckpointStore, learner: Learner) -> int:
    """Load the newest complete checkpoint; returns the steps done."""
    path = store.newest_whole()
    if path is None:
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        progress, state = load_state(store.folder.fetch(path, Path(scratch)), device=learner.device)
    if "optimizer" not in state:  # finished but for its outcome, which is cheap to make again
        return 0
    learner.load_state(state)
    return progress.step


def _write(store: CheckpointStore, config: SupervisedConfig, done: int, state: dict[str, dict]) -> None:
    """Write a checkpoint, and only then remove the ones before."""
    before = store.paths()
    progress = Progress(step=done, images_seen=done * config.batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        store.write(config, progress, state, [], Path(scratch))
    for path in before:
        store.folder.remove(path)


def as_tensors(data: LabelledImages) -> ImagesAndLabels:
    """Copies that the learner may use as it likes."""
    # torch warns of arrays that may not be written to, as those in the cluster's object store.
    return torch.from_numpy(data.images.copy()), torch.from_numpy(data.labels.copy())
