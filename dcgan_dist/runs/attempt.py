"""One start of a run on the cluster: ranks train, the driver listens, records, and sums up."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dcgan_dist.cli.signals import listening_to_signals
from dcgan_dist.cluster.capacity import CapacityMonitor, lacks_capacity, release_abandoned_groups
from dcgan_dist.cluster.in_thread import InThread
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.stream import BadSampleLog
from dcgan_dist.errors import InputError
from dcgan_dist.runs.checkpoint_store import CheckpointStore, images_seen
from dcgan_dist.runs.events import EventQueue, RankEvent
from dcgan_dist.runs.fit import start_fit
from dcgan_dist.runs.journal import Journal
from dcgan_dist.runs.outcome import last_checkpoint, register_best, summary
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.storage.filesystems import with_retries
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable
from dcgan_dist.tracking.spool import Spool

LISTEN_EVERY_SECONDS = 0.2
LOOK_FOR_ROOM_EVERY_SECONDS = 2.0  # the cluster's whole table is read
BAD_SAMPLES = "bad_samples.json"
TRACKING_PATIENCE_SECONDS = 120.0
"""How long the end of a run waits for a tracking server that is away."""
SILENCE_SECONDS = 120.0
"""How long after a signal ranks may say nothing before the driver leaves without them."""


class Attempt:
    """Trains until the end, a failure or a signal, and leaves status, result and models behind truthfully."""

    def __init__(self, plan: RunPlan, folder: RunFolder, run: TrackedRun, say: Callable[[str], None]) -> None:
        self.plan, self.folder, self.run, self.say = plan, folder, run, say
        self.began = time.monotonic()
        self.store = CheckpointStore(folder)
        self.journal = Journal(folder)
        self.spool = Spool(run, _spool_folder(folder, run.run_id))
        # On the driver's own node, and with the same address after a crash: ranks keep the handle they were given.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self.board: Any = ray.remote(EventQueue).options(**options).remote()
        self.failure: RankEvent | None = None
        self.leaving = ""
        self.grid = ""
        self.bad_samples = BadSampleLog(plan.config.data.max_bad_fraction, plan.manifest.samples)
        self.signal = 0
        self.heard = self.began
        self.waits_for_step = False

    def exit_code(self) -> int:
        """Train and sum up: 0 finished, 1 or 2 failed, 128 + signal number after a signal."""
        with listening_to_signals(self._on_signal):
            try:
                self.journal.add("start", images_seen=self._images_kept())
                return self._train_and_register()
            except Exception as error:  # the storage, the registry, a task: training itself fails in `_train`
                return self._finish("FAILED", 1, {"error": f"{type(error).__name__}: {str(error).strip()}"})
            finally:
                with suppress(Exception):  # Ray itself may be gone
                    ray.kill(self.board)  # what is left of a killed controller may still hold it

    def _train_and_register(self) -> int:
        self._train()
        self.store.remove_drafts()
        if self.failure:
            return self._finish("FAILED", self.failure.failure_code, {"error": self.failure.failure})
        if self.signal and not self._complete():
            return self._finish("KILLED", 128 + self.signal, {})
        if not self.spool.drain(TRACKING_PATIENCE_SECONDS):
            error = "training is done, but the tracking server is away: the same command registers the models"
            return self._finish("FAILED", 1, {"error": error})
        return self._finish("FINISHED", 0, register_best(self.plan, self.run, self.store, self.say))

    def _train(self) -> None:
        """Fit until the run is complete, failed or told to stop.

        Ray restarts failed ranks itself. Started again here is what it does not survive: the loss of its controller, and
        ranks that left in good time because their nodes were about to be taken away.
        """
        lost = 0
        while not (self.failure or self.signal or self._complete()):
            self.leaving = ""
            if torn := self.store.remove_list_of_ray():
                self.say(f"warning: Ray's list of checkpoints ({torn}) was torn and is not needed: removed")
            error = self._fit()
            if self.failure or self.signal or (error is None and self._complete()):
                return
            if self.leaving:
                self.journal.add("preempted", images_seen=self._images_kept())
                self.say(f"{self.leaving}: ranks left with a checkpoint and start again elsewhere")
            elif error is None:
                self.failure = RankEvent(failure="the ranks left before the end of the run and did not say why")
            elif getattr(error, "worker_failures", None):
                self.failure = RankEvent(failure=f"training failed after all restarts: {_cause(error)}", failure_code=1)
            elif (lost := lost + 1) > self.plan.config.max_failures:
                self.failure = RankEvent(
                    failure=f"Ray's controller was lost {lost} times: {_cause(error)}", failure_code=1
                )
            else:
                self.journal.add("controller lost", images_seen=self._images_kept())
                self.say(f"warning: Ray's controller was lost ({_cause(error)}): starting it again")
                release_abandoned_groups()

    def _fit(self) -> BaseException | None:
        """Let Ray train once, and relay what ranks say; returns what went wrong."""
        fitting = start_fit(self.plan, self.folder, self.board)
        room = CapacityMonitor(self.plan.config)
        looked = 0.0
        while True:
            done = fitting.done()
            self._listen(fitting)
            if done:
                return fitting.error
            if (now := time.monotonic()) - looked > LOOK_FOR_ROOM_EVERY_SECONDS:
                looked = now
                if refusal := room.refusal(lacking=lacks_capacity()):
                    self.failure = RankEvent(failure=f"{refusal}; the same command goes on from the last checkpoint")
                    return None  # Ray would go on asking
            if self.signal and time.monotonic() - self.heard > SILENCE_SECONDS:
                return None  # no rank is there to hear it, for example where their nodes are gone
            time.sleep(LISTEN_EVERY_SECONDS)

    def _listen(self, fitting: InThread) -> None:
        try:
            if self.signal or self.failure:  # again each time: a board that was restarted has forgotten it
                self.board.request_stop.remote()
            for notice in ray.get(self.board.take.remote()):
                self.heard = time.monotonic()
                self._relay(notice)
        except RayError as error:
            self.say(f"warning: the event queue does not answer ({_cause(error)})")

    def _on_signal(self, number: int, _: object) -> None:
        """First signal: save and leave. Second: leave."""
        if self.signal:
            ray.shutdown()
            os._exit(128 + number)
        self.signal, self.heard = number, time.monotonic()
        self.say(f"{signal.Signals(number).name}: saving a checkpoint, then leaving; once more to leave at once")

    def _relay(self, notice: RankEvent) -> None:
        """Print, record and keep what a rank said."""
        if notice.started:
            ranks, nodes = len(notice.started), list(notice.started)
            self.journal.add("ranks started", ranks=ranks, nodes=nodes, images_seen=notice.images_seen)
            self.waits_for_step = True
        elif notice.beat and self.waits_for_step:
            self.journal.add("first step", images_seen=notice.images_seen)
            self.waits_for_step = False
        if notice.checkpoint:
            self.journal.add(f"checkpoint {notice.checkpoint}", images_seen=notice.images_seen)
        if notice.rolled_back:
            self.journal.add("rolled back", images_seen=notice.images_seen)
        if notice.failure:
            self.failure = self.failure or notice
        if notice.bad_sample:
            self._count_bad_sample(notice.bad_sample)
        self.leaving = notice.leaving or self.leaving
        if notice.line:
            self.say(notice.line)
        if notice.line.startswith("warning"):
            self.journal.add("warning", line=notice.line)
        if notice.metrics:
            counted = {"data/bad_samples": float(len(self.bad_samples))}
            self.spool.log_metrics(notice.metrics | counted, notice.images_seen)
        for name, content in notice.files.items():
            self.spool.log_image(content, name, images_seen=notice.images_seen)
            try:
                self.folder.write_bytes(name, content)
                self.grid = f"{self.folder.path}/{name}"
            except OSError as error:
                self.say(f"warning: {name} could not be kept ({error})")

    def _count_bad_sample(self, bad: BadSample) -> None:
        """List a replaced sample in the run's files; end the run where there are too many."""
        self.say(f"warning: a bad sample was replaced: {bad}")
        try:
            self.bad_samples(bad)
        except InputError as error:
            self.failure = self.failure or RankEvent(failure=str(error), failure_code=2)
        listed = {"bad_samples": [dataclasses.asdict(one) for one in self.bad_samples.samples]}
        try:
            self.folder.write_json(BAD_SAMPLES, listed)
        except OSError as error:
            self.say(f"warning: {BAD_SAMPLES} could not be kept ({error})")

    def _complete(self) -> bool:
        """Whether the last checkpoint of the run is in the storage, and whole."""
        return self.store.newest_whole(wanted=lambda seen: seen >= self.plan.images) is not None

    def _images_kept(self) -> int:
        return next((images_seen(path) for path in self.store.paths()), 0)

    def _finish(self, status: str, code: int, more: dict[str, Any]) -> int:
        """Write result.json, print the summary and close the tracked run; returns the exit code."""
        result = last_checkpoint(self.store) | {
            "job": "train",
            "status": status,
            "run_name": self.plan.name,
            "run_id": self.run.run_id,
            "tracking": self.run.url,
            "images": self.plan.images,
            "seconds_of_this_start": round(time.monotonic() - self.began, 1),
            "grid": self.grid or self._newest_grid(),
            "config": dataclasses.asdict(self.plan.config),
            "manifest_hash": self.plan.manifest.hash,
            "preemptions": self.journal.count("preempted"),
            "rollbacks": self.journal.count("rolled back"),
        }
        result |= more
        with_retries(lambda: self.folder.write_json("result.json", result))
        if listed := self.folder.read_json(BAD_SAMPLES):
            self.spool.log_dict(listed, BAD_SAMPLES)
        self.spool.log_dict(result, "result.json")
        self.journal.add("end", status=status, images_seen=result["images_seen"])
        if not self.spool.finish(status, patience=10.0 if self.signal else TRACKING_PATIENCE_SECONDS):
            self.say(
                f"warning: the tracking server is away; what it lacks is in {self.spool.folder} and is sent next time"
            )
        if status == "FINISHED":
            self.say(summary(result))
        else:
            self.say(
                f"error: {more['error']}" if more else "stopped; the same command goes on from the last checkpoint"
            )
        return code

    def _newest_grid(self) -> str:
        return next(iter(self.folder.files("grids")), "")


def send_what_waits(folder: RunFolder, tracking_uri: str, run_id: str) -> None:
    """Send what the tracking server of a finished run did not take at its end."""
    waiting = _spool_folder(folder, run_id)
    if waiting.is_dir():
        check_reachable(tracking_uri)
        Spool(TrackedRun.attach(tracking_uri, run_id), waiting).finish("FINISHED", patience=TRACKING_PATIENCE_SECONDS)


def _spool_folder(folder: RunFolder, run_id: str) -> Path:
    """Where events wait for the tracking server: on a local disk, whatever the storage is."""
    return Path(folder.path) / "tracking" if folder.local else Path.home() / ".cache" / "dcgan_dist" / run_id


def _cause(error: BaseException | None) -> str:
    """The first rank's own error, without Ray's frames."""
    failures = getattr(error, "worker_failures", {})
    for rank, failure in sorted(failures.items()):
        return f"rank {rank}: {str(failure).strip().splitlines()[-1]}"
    return str(error).strip().splitlines()[-1].split(". ")[0]
