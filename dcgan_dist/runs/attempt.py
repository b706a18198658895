"""One start of a run on the cluster: ranks train, the driver listens, records, and sums up."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dcgan_dist.cli.signals import listening_to_signals
from dcgan_dist.cluster.capacity import CapacityMonitor, lacks_capacity, release_abandoned_groups
from dcgan_dist.cluster.join import when_cluster_ends
from dcgan_dist.runs.checkpoint_store import CheckpointStore, images_seen
from dcgan_dist.runs.event_recorder import BAD_SAMPLES, EventRecorder, Journal
from dcgan_dist.runs.events import EventQueue, Failed
from dcgan_dist.runs.fit import start_fit
from dcgan_dist.runs.outcome import (
    TRACKING_PATIENCE_SECONDS,
    Outcome,
    log_missing_reports,
    register_best,
    run_result,
    spool_folder,
    summary,
)
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.storage.filesystems import with_retries
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool

LISTEN_EVERY_SECONDS = 0.2
CHECK_CAPACITY_EVERY_SECONDS = 2.0  # the cluster's whole table is read
SILENCE_SECONDS = 120.0
"""How long after a signal ranks may say nothing before the driver leaves without them."""

_log = logging.getLogger(__name__)


class Attempt:
    """Trains until the end, a failure or a signal, and leaves status, result and models behind truthfully."""

    def __init__(self, plan: RunPlan, folder: RunFolder, run: TrackedRun) -> None:
        self.plan, self.folder, self.run = plan, folder, run
        self.store, self.journal = CheckpointStore(folder), Journal(folder)
        self.spool = Spool(run, spool_folder(folder, run.run_id))
        self.recorder = EventRecorder(plan, folder, self.journal, self.spool)
        self.queue: Any = start_queue()
        self.signal = 0
        self._finishing, self._code = threading.Lock(), -1
        self._over = threading.Event()
        """Set once this process may outlive Ray."""
        self.began = self.last_event = time.monotonic()

    def exit_code(self) -> int:
        """Train and sum up: 0 finished, 1 or 2 failed, 128 + signal number after a signal."""
        with listening_to_signals(self._on_signal):
            try:
                self.journal.add("start", images_seen=self._images_kept())
                log_missing_reports(self.plan, self.store, self.spool)
                return self._finish(self._train_and_register())
            except Exception as error:  # the storage, the registry, a task: training itself fails in `_train`
                if self.signal and isinstance(error, RayError):
                    return self._finish(self._killed())
                return self._finish(Outcome.failed(f"{type(error).__name__}: {str(error).strip()}"))
            finally:
                with suppress(Exception):  # Ray itself may be gone
                    ray.kill(self.queue)  # what is left of a killed controller may still hold it
                self._over.set()

    def _train_and_register(self) -> Outcome:
        self._train()
        self.store.remove_drafts()
        if failure := self.recorder.failure:
            return Outcome.failed(failure.reason, failure.exit_code)
        if self.signal and not self._complete():
            return self._killed()
        if not self.spool.drain(TRACKING_PATIENCE_SECONDS):
            return Outcome.failed(
                f"training is done, but tracking: {self.spool.missing()}; the same command registers the models"
            )
        return Outcome("FINISHED", 0, register_best(self.plan, self.run, self.store, lambda: bool(self.signal)))

    def _train(self) -> None:
        """Fit until the run is complete, failed or told to stop.

        Ray restarts failed ranks itself. Started again here is what it does not survive: the loss of its controller, and
        ranks that left in good time because their nodes were about to be taken away.
        """
        controllers_lost = 0
        while not (self.recorder.failure or self.signal or self._complete()):
            self.recorder.preemption = ""
            if torn := self.store.remove_list_of_ray():
                _log.warning("Ray's list of checkpoints (%s) was torn and is not needed: removed", torn)
            error = self._fit()
            if self.recorder.failure or self.signal or (error is None and self._complete()):
                return
            if self.recorder.preemption:
                self.journal.add("preempted", images_seen=self._images_kept())
                _log.info("%s: ranks left with a checkpoint and start again elsewhere", self.recorder.preemption)
            elif error is None:
                self._fail("the ranks left before the end of the run and did not say why")
            elif getattr(error, "worker_failures", None):
                self._fail(f"training failed after all restarts: {_cause(error)}")
            elif (controllers_lost := controllers_lost + 1) > self.plan.config.max_failures:
                self._fail(f"Ray's controller was lost {controllers_lost} times: {_cause(error)}")
            else:
                self.journal.add("controller lost", images_seen=self._images_kept())
                _log.warning("Ray's controller was lost (%s): starting it again", _cause(error))
                release_abandoned_groups()

    def _fit(self) -> BaseException | None:
        """Let Ray train once, and record what ranks report; returns what went wrong."""
        fitting = start_fit(self.plan, self.folder, self.queue)
        capacity = CapacityMonitor(self.plan.config)
        checked = 0.0
        while True:
            done = fitting.done()
            self._listen()
            if done:
                return fitting.error
            if (now := time.monotonic()) - checked > CHECK_CAPACITY_EVERY_SECONDS:
                checked = now
                if refusal := capacity.refusal(lacking=lacks_capacity()):
                    self._fail(f"{refusal}; the same command goes on from the last checkpoint")
                    return None  # Ray would go on asking
            if self.signal and now - self.last_event > SILENCE_SECONDS:
                return None  # no rank is there to hear it, for example where their nodes are gone
            time.sleep(LISTEN_EVERY_SECONDS)

    def _listen(self) -> None:
        try:
            if self.signal or self.recorder.failure:  # again each time: a queue that was restarted has forgotten it
                self.queue.request_stop.remote()
            for event in ray.get(self.queue.drain.remote()):
                self.last_event = time.monotonic()
                self.recorder.record(event)
        except RayError as error:
            _log.warning("the event queue does not answer (%s)", _cause(error))

    def _killed(self) -> Outcome:
        return Outcome("KILLED", 128 + self.signal)

    def _finish(self, outcome: Outcome) -> int:
        """Sum up, once, whichever thread asks first; returns the exit code."""
        with self._finishing:
            if self._code < 0:
                self._code = self._sum_up(outcome)
            return self._code

    def _sum_up(self, outcome: Outcome) -> int:
        """Write result.json, log the summary and close the tracked run; returns the exit code."""
        seconds = time.monotonic() - self.began
        result = run_result(self.plan, self.run, self.store, self.journal, self.recorder.newest_grid(), seconds)
        result |= {"status": outcome.status} | outcome.details
        with_retries(lambda: self.folder.write_json("result.json", result))
        # After the result, as a server that does not answer takes its time. What an event queue lost is written here.
        log_missing_reports(self.plan, self.store, self.spool)
        if bad_samples := self.folder.retried(lambda: self.folder.read_json(BAD_SAMPLES)):
            self.spool.log_dict(bad_samples, BAD_SAMPLES)
        self.spool.log_dict(result, "result.json")
        self.journal.add("end", status=outcome.status, images_seen=result["images_seen"])
        if not self.spool.finish(outcome.status, patience=10.0 if self.signal else TRACKING_PATIENCE_SECONDS):
            _log.warning("tracking: %s", self.spool.missing())
        if outcome.status == "FINISHED":
            _log.info("%s", summary(result))
        elif outcome.status == "FAILED":
            _log.error("%s", outcome.details["error"])
        else:
            _log.info("stopped; the same command goes on from the last checkpoint")
        return outcome.exit_code

    def _fail(self, reason: str) -> None:
        self.recorder.record(Failed(reason=reason))

    def _on_signal(self, number: int, _: object) -> None:
        """First signal: save and leave. Second: leave."""
        if self.signal:
            ray.shutdown()
            os._exit(128 + number)
        self.signal, self.last_event = number, time.monotonic()
        when_cluster_ends(self._leave_without_ray, unless=self._over)
        _log.info("%s: saving a checkpoint, then leaving; once more to leave at once", signal.Signals(number).name)

    def _leave_without_ray(self) -> None:
        """The signal ended Ray too: sum up and leave, from whatever call to Ray the main thread is in."""
        if self._code < 0:  # else it was ended after the sum was made
            _log.warning("Ray has ended: leaving with the checkpoints that were written")
        code = self._finish(self._killed())
        self.folder.end_heartbeat()
        os._exit(code)

    def _complete(self) -> bool:
        """Whether the last checkpoint of the run is in the storage, and whole."""
        return self.store.newest_whole(wanted=lambda images: images >= self.plan.images) is not None

    def _images_kept(self) -> int:
        return next((images_seen(path) for path in self.store.paths()), 0)


def start_queue() -> Any:
    """The actor between ranks and driver, on the driver's own node.

    It has the same address after a crash: ranks keep the handle they were given.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    return ray.remote(EventQueue).options(**options).remote()


def _cause(error: BaseException | None) -> str:
    """The first rank's own error, without Ray's frames."""
    failures = getattr(error, "worker_failures", {})
    for rank, failure in sorted(failures.items()):
        return f"rank {rank}: {str(failure).strip().splitlines()[-1]}"
    return str(error).strip().splitlines()[-1].split(". ")[0]
