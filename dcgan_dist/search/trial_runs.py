"""The trials of a search on the tracking server: one nested run each, written by the driver alone."""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from dcgan_dist.config import SupervisedConfig, flatten
from dcgan_dist.runs.outcome import spool_folder
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool

TRACKED = "tracked.json"
PARENT_TAG = "mlflow.parentRunId"  # by which MLflow's pages nest a run under another

STATUS: Mapping[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
    "STOPPED": "KILLED",
}
"""Status of a nested run by the outcome of its trial."""
PATIENCE_SECONDS = 10.0
"""How long the end of a trial waits for a tracking server that is away; `settle` tries again."""

_log = logging.getLogger(__name__)


class TrialRuns:
    """Nested runs by trial number, the same ones however often the search is started.

    A server that does not answer loses nothing: outcomes lie in the storage, and `settle` makes up for what is missing.
    """

    def __init__(self, parent: TrackedRun, folder: RunFolder, trials: list[SupervisedConfig]) -> None:
        self.parent, self.folder, self.trials = parent, folder, trials
        self._open: dict[int, Spool] = {}
        self._warned = False

    def started(self, number: int) -> None:
        """A trial runs, for the first time or again."""
        self._spool(number)

    def reported(self, number: int, metrics: dict[str, float], images_seen: int) -> None:
        """A trial has measured something."""
        if spool := self._spool(number):
            spool.log_metrics(metrics, images_seen)

    def ended(self, number: int, outcome: dict[str, Any]) -> None:
        """A trial has an outcome: its run gets a final status."""
        if spool := self._spool(number):
            tags = {"outcome": outcome["status"], "seconds": str(outcome.get("seconds", ""))}
            spool.set_tags(tags | ({"error": outcome["error"]} if "error" in outcome else {}))
            status = STATUS[outcome["status"]]
            if spool.finish(status, patience=PATIENCE_SECONDS):
                self._remember(number, spool.run.run_id, status)
            del self._open[number]

    def settle(self, outcomes: Mapping[int, dict[str, Any]]) -> None:
        """Bring the runs of all outcomes to their final status, as after a crash or an outage."""
        for number, outcome in sorted(outcomes.items()):
            if (self._remembered(number) or {}).get("status") != STATUS[outcome["status"]]:
                if "metrics" in outcome:
                    self.reported(number, outcome["metrics"], outcome["images_seen"])
                self.ended(number, outcome)

    def leave(self) -> None:
        """The search stops: what runs is killed with it."""
        for number, spool in self._open.items():
            spool.finish("KILLED", patience=PATIENCE_SECONDS)
            self._remember(number, spool.run.run_id, "KILLED")

    def run_ids(self) -> dict[int, str]:
        """Run of each trial that has one."""
        tracked = {number: self._remembered(number) for number in range(len(self.trials))}
        return {number: content["run_id"] for number, content in tracked.items() if content}

    def attach(self, number: int) -> TrackedRun | None:
        """The run of a trial that has ended, to add to it."""
        config, parent = self.trials[number], self.parent
        try:
            run = TrackedRun.attach_or_create(
                self._remembered(number),
                parent.tracking_uri,
                parent.client.get_experiment(parent.experiment_id).name,
                f"trial-{number:03}",
                flatten(config),
                {PARENT_TAG: parent.run_id, "trial": str(number)},
            )
        except Exception as error:  # whatever a store raises: trials go on, `settle` makes up for it
            if not self._warned:
                _log.warning("tracking refuses trial %d (%s); this is said once, and made up for later", number, error)
                self._warned = True
            return None
        self._remember(number, run.run_id, "RUNNING")
        return run

    def _spool(self, number: int) -> Spool | None:
        """What writes to the run of a trial; None where the server refuses it."""
        if number not in self._open:
            run = self.attach(number)
            if run is None:
                return None
            self._open[number] = Spool(run, spool_folder(self.folder, self.parent.run_id) / trial_folder(number))
        return self._open[number]

    def _remembered(self, number: int) -> dict[str, Any] | None:
        return self.folder.read_json(f"{trial_folder(number)}/{TRACKED}")

    def _remember(self, number: int, run_id: str, status: str) -> None:
        content = {"run_id": run_id, "tracking_uri": self.parent.tracking_uri, "status": status}
        self.folder.write_json(f"{trial_folder(number)}/{TRACKED}", content)


def trial_folder(number: int) -> str:
    """Folder of a trial below the search's."""
    return f"trials/{number:03}"


def repeat_folder(trial: int, draw: int) -> str:
    """Folder of a repeat of a trial below the search's."""
    return f"repeats/{trial:03}/{draw:03}"
