"""One start of a run on the cluster: ranks train, the driver listens, records, and sums up."""

from __future__ import annotations

import dataclasses
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.train.torch import TorchTrainer

from dcgan_dist.launch.board import Board, Notice
from dcgan_dist.launch.cluster import rank_resources
from dcgan_dist.launch.progress import duration
from dcgan_dist.launch.rank import SCORE, train_rank
from dcgan_dist.launch.run_folder import RunFolder
from dcgan_dist.launch.run_plan import RunPlan
from dcgan_dist.launch.snapshot import register_snapshot, snapshot_task
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.checkpoint import load_checkpoint, state_sha256

LISTEN_EVERY_SECONDS = 0.2


class Attempt:
    """Trains until the end, a failure or a signal, and leaves status, result and models behind truthfully."""

    def __init__(self, plan: RunPlan, folder: RunFolder, run: TrackedRun, say: Callable[[str], None]) -> None:
        self.plan, self.folder, self.run, self.say = plan, folder, run, say
        self.began = time.monotonic()
        self.board = ray.remote(Board).options(num_cpus=0).remote()
        self.failure: Notice | None = None
        self.grid = ""
        self.signal = 0

    def exit_code(self) -> int:
        """Train and sum up: 0 finished, 1 or 2 failed, 128 + signal number after a signal."""
        try:
            fitted = self._fit()
        except ray.train.TrainingFailedError as error:
            self.failure = Notice(failure=f"training failed after all restarts: {_cause(error)}", failure_code=1)
            fitted = None
        if self.failure:
            self._finish("FAILED", {"error": self.failure.failure})
            self.say(f"error: {self.failure.failure}")
            return self.failure.failure_code
        if self.signal:
            self._finish("KILLED", {})
            self.say("stopped; the same command goes on from the last checkpoint")
            return 128 + self.signal
        assert fitted is not None
        self._finish("FINISHED", self._registered(fitted))
        return 0

    def _fit(self) -> ray.train.Result | None:
        config = self.plan.config
        least, most = config.workers
        trainer = TorchTrainer(
            train_rank,
            train_loop_config={
                "config": dataclasses.asdict(config),
                "run_name": self.plan.name,
                "manifest_hash": self.plan.manifest.hash,
                "board": self.board,
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=least if least == most else (least, most),
                use_gpu=config.use_gpu,
                resources_per_worker=rank_resources(config),
            ),
            run_config=ray.train.RunConfig(
                name=self.plan.name,
                storage_path=config.storage,
                failure_config=ray.train.FailureConfig(max_failures=config.max_failures, controller_failure_limit=3),
                checkpoint_config=ray.train.CheckpointConfig(
                    num_to_keep=config.keep_checkpoints,
                    checkpoint_score_attribute=SCORE if config.quality.samples else None,
                    checkpoint_score_order="min",
                ),
            ),
        )
        fitting = _InThread(trainer.fit)
        before = {number: signal.signal(number, self._on_signal) for number in self._signals()}
        try:
            while True:
                done = fitting.done()
                for notice in ray.get(self.board.take.remote()):
                    self._relay(notice)
                if done:
                    return fitting.result()
                time.sleep(LISTEN_EVERY_SECONDS)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @staticmethod
    def _signals() -> tuple[signal.Signals, ...]:
        # Only the main thread may set handlers; elsewhere (in a sweep) the caller has its own.
        return (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()

    def _on_signal(self, number: int, _: object) -> None:
        """First signal: save and leave. Second: leave."""
        if self.signal:
            self.run.finish("KILLED")
            os._exit(128 + number)
        self.signal = number
        self.say(f"{signal.Signals(number).name}: saving a checkpoint, then leaving; once more to leave at once")
        self.board.request_stop.remote()

    def _relay(self, notice: Notice) -> None:
        """Print, record and keep what a rank said."""
        if notice.failure:
            self.failure = notice
        if notice.line:
            self.say(notice.line)
        if notice.metrics:
            self.run.log_metrics(notice.metrics, notice.images_seen)
        for name, content in notice.files.items():
            self.folder.write_bytes(name, content)
            self.grid = f"{self.folder.path}/{name}"
            with tempfile.TemporaryDirectory() as scratch:
                picture = Path(scratch) / Path(name).name
                picture.write_bytes(content)
                self.run.log_image(picture, str(Path(name).parent), images_seen=notice.images_seen)

    def _registered(self, fitted: ray.train.Result) -> dict[str, Any]:
        """Standing statistics for the best checkpoint, and the registry; returns what the result says of it."""
        config = self.plan.config
        if not config.register:
            return {}
        kept = [(c.path, m) for c, m in fitted.best_checkpoints or []]
        path, metrics = min(kept, key=lambda pair: (pair[1].get(SCORE, 0.0), -pair[1]["images_seen"]))
        self.say(f"measuring standing statistics of {Path(path).name} over {config.snapshot_batches} batches")
        task = snapshot_task.options(num_cpus=1, num_gpus=int(config.use_gpu))
        snapshot = ray.get(task.remote(dataclasses.asdict(config), self.plan.name, path))
        with tempfile.TemporaryDirectory() as scratch:
            quality = {name: value for name, value in metrics.items() if name.startswith("quality/")}
            models = register_snapshot(self.plan, self.run, self.folder.fetch(snapshot, Path(scratch)), quality)
        return {"models": models, "registered_checkpoint": path, "snapshot": snapshot, "quality": quality}

    def _finish(self, status: str, more: dict[str, Any]) -> None:
        """Write result.json, print the summary and close the tracked run."""
        result = self._last_checkpoint() | {
            "status": status,
            "run_name": self.plan.name,
            "run_id": self.run.run_id,
            "tracking": self.run.url,
            "images": self.plan.images,
            "seconds_of_this_start": round(time.monotonic() - self.began, 1),
            "grid": self.grid or self._newest_grid(),
            "config": dataclasses.asdict(self.plan.config),
            "manifest_hash": self.plan.manifest.hash,
        }
        result |= more
        self.folder.write_json("result.json", result)
        self.run.log_dict(result, "result.json")
        self.run.finish(status)  # pyright: ignore[reportArgumentType]
        if status == "FINISHED":
            self.say(summary(result))

    def _last_checkpoint(self) -> dict[str, Any]:
        for path in self.folder.checkpoints():
            with tempfile.TemporaryDirectory() as scratch:
                _, progress, state = load_checkpoint(self.folder.fetch(path, Path(scratch)))
            return {"images_seen": progress.images_seen, "checkpoint": path, "sha256": state_sha256(state)}
        return {"images_seen": 0, "checkpoint": "", "sha256": ""}

    def _newest_grid(self) -> str:
        return next(iter(self.folder.files("grids")), "")


def summary(result: dict[str, Any]) -> str:
    """The end of a run in a few lines, from its result."""
    lines = [
        f"run {result['run_name']}: {result['images_seen']:,} images, last start took "
        f"{duration(result['seconds_of_this_start'])}",
        f"  samples     {result['grid']}",
        f"  checkpoint  {result['checkpoint']}",
        f"  tracked as  {result['tracking']}",
    ]
    lines += [f"  registered  {m['uri']} ({m['name']}@candidate)" for m in result.get("models", {}).values()]
    return "\n".join(lines)


def _cause(error: ray.train.TrainingFailedError) -> str:
    """The first rank's own error, without Ray's frames."""
    failures = getattr(error, "worker_failures", {})
    for rank, failure in sorted(failures.items()):
        return f"rank {rank}: {str(failure).strip().splitlines()[-1]}"
    return str(error).strip().splitlines()[-1]


class _InThread:
    """A call in a daemon thread, so that the main thread stays free for signals and does not wait for it at exit."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), name="fit", daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._value = call()
        except BaseException as error:
            self._error = error

    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value
