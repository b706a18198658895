"""One training run as the tracking server sees it, whatever process writes to it."""

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.database import artifacts_uri, sqlite_path
from dcgan_dist.tracking.server import connect, refusals_as_input_errors

_log = logging.getLogger(__name__)

PARAM_LENGTH = 500  # of the 6000 that MLflow takes; longer ones make its tables unreadable
TAG_LENGTH = 5000
BATCH = 100  # params or tags per request, MLflow's limit
METRICS_PER_REQUEST = 1000


class TrackedRun:
    """A run by its id: no global state of MLflow is read or changed, so any process may hold one.

    A metric point is (key, step, value, time). A run that goes on from a checkpoint reports the steps after it again,
    and MLflow keeps both points: two with the same step, and the same value where the resumed run is exact. Plots draw
    them on top of each other, and "the last value" is that of the largest step, then of the latest time.

    Once the run exists, `log_...`, `set_tags` and `finish` do not raise because of the server: what fails is counted in
    `failures`, logged once, and lost. What must survive an outage is written to a `Spool` of the run.
    """

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str) -> None:
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id
        self.failures = 0
        """Writes that the server did not take."""

    @classmethod
    def create(
        cls, tracking_uri: str, experiment: str, run_name: str, params: dict[str, Any], tags: dict[str, str]
    ) -> Self:
        """Start a run.

        Args:
            tracking_uri: `http(s)://...` or `sqlite:///FILE`; file and experiment are made where they do not exist. The
                files of a database's runs lie beside it, in `mlartifacts`.
            experiment: name of the experiment.
            run_name: name of the run; not necessarily unique.
            params: dotted path -> value. Long ones are cut and end in a hash of the whole; `params.json` among the run's
                files then holds all of them.
            tags: name -> value, cut in the same way.

        Raises:
            InputError: the server or database cannot be used.
        """
        client = connect(tracking_uri)
        with refusals_as_input_errors(tracking_uri):
            experiment_id = _experiment_id(client, experiment)
            run_id = client.create_run(experiment_id, run_name=run_name).info.run_id
            run = cls(client, run_id, experiment_id)
            shown = [Param(key, _cut(value, PARAM_LENGTH)) for key, value in params.items()]
            for start in range(0, len(shown), BATCH):
                client.log_batch(run_id, params=shown[start : start + BATCH])
            if any(len(str(value)) > PARAM_LENGTH for value in params.values()):
                client.log_dict(run_id, {key: str(value) for key, value in params.items()}, "params.json")
            run.send_tags(tags)
        return run

    @classmethod
    def attach(cls, tracking_uri: str, run_id: str) -> Self:
        """Go on with a run, from another process or after a restart: its status is RUNNING again.

        Raises:
            InputError: there is no such run, it was deleted, or the server cannot be used.
        """
        client = connect(tracking_uri)
        with refusals_as_input_errors(tracking_uri):
            client.update_run(run_id, status="RUNNING")
            return cls(client, run_id, client.get_run(run_id).info.experiment_id)

    @classmethod
    def attach_or_create(
        cls,
        recorded: dict[str, Any] | None,
        tracking_uri: str,
        experiment: str,
        run_name: str,
        params: dict[str, Any],
        tags: dict[str, str],
    ) -> Self:
        """Go on with the run of an earlier start, so that a job has one run however often it is started; else create one.

        Args:
            recorded: holds the `run_id` of an earlier start; None: there was none.
            tracking_uri: as for `create`, and so are the others.

        Raises:
            InputError: the server or database cannot be used.
        """
        # A server may have moved with its runs: the id alone says whether it knows this one.
        if recorded and _is_active(tracking_uri, recorded["run_id"]):
            return cls.attach(tracking_uri, recorded["run_id"])
        return cls.create(tracking_uri, experiment, run_name, params, tags)

    def log_metrics(self, metrics: dict[str, float], images_seen: int) -> None:
        """Add one point per metric at step `images_seen`.

        NaN stays NaN; a database keeps an infinity as the largest float of its sign.
        """
        self._try(lambda: self.send_metrics(metrics, images_seen, int(time.time() * 1000)))

    def log_artifact(self, path: str | Path, artifact_path: str = "") -> None:
        """Keep a copy of a file (or of a folder with all it holds) in a folder among the run's files."""
        self._try(lambda: self.client.log_artifact(self.run_id, str(path), artifact_path or None))

    def log_dict(self, values: dict[str, Any], artifact_file: str) -> None:
        """Keep a dictionary as a JSON (or, by its ending, YAML) file."""
        self._try(lambda: self.client.log_dict(self.run_id, values, artifact_file))

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set or overwrite tags."""
        self._try(lambda: self.send_tags(tags))

    def log_data_set(self, name: str, hash: str, source: str, samples: int) -> None:
        """Say which images the run learns from: MLflow's pages list it and find all runs on it.

        Args:
            name: of the data set.
            hash: of its manifest, hex; the first 32 digits are its digest, as MLflow takes no longer one.
            source: where it lies.
            samples: number of images.
        """
        data_set = Dataset(
            name, hash[:32], "shards", json.dumps({"uri": source}), profile=json.dumps({"images": samples})
        )
        inputs = [DatasetInput(data_set, [InputTag("mlflow.data.context", "training")])]
        self._try(lambda: self.client.log_inputs(self.run_id, inputs))

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Set the final status; a later `attach` opens the run again."""
        self._try(lambda: self.client.set_terminated(self.run_id, status))

    @contextmanager
    def system_metrics(self, *, interval_seconds: float = 10.0) -> Iterator[None]:
        """Record load, memory, disk and network of this machine (and its GPUs) as `system/*` while the block runs.

        The step of these is not images seen but a count of measurements, which goes on after a restart.
        """
        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # two lines about itself at every start
        uri = self.client.tracking_uri
        monitors: list[SystemMetricsMonitor] = []

        def start() -> None:
            monitor = SystemMetricsMonitor(
                self.run_id,
                sampling_interval=interval_seconds,  # pyright: ignore[reportArgumentType] any number of seconds works
                resume_logging=True,
                tracking_uri=uri,
            )
            monitor.start()
            monitors.append(monitor)

        self._try(start)
        try:
            yield
        finally:
            for monitor in monitors:
                monitor.finish()

    @property
    def tracking_uri(self) -> str:
        """Where the run is recorded; absolute, so that it means the same in every process."""
        return self.client.tracking_uri

    @property
    def url(self) -> str:
        """Address of the run's page; for a database file, the database (`description` says how to look at it)."""
        if self.tracking_uri.startswith("http"):
            base = without_password(self.tracking_uri).rstrip("/")
            return f"{base}/#/experiments/{self.experiment_id}/runs/{self.run_id}"
        return self.tracking_uri

    @property
    def description(self) -> str:
        """How to look at the run, for people, on one line."""
        if self.tracking_uri.startswith("http"):
            return self.url
        return f"run {self.run_id}; look at it with: mlflow ui --backend-store-uri {shlex.quote(self.tracking_uri)}"

    def send_metrics(self, metrics: dict[str, float], images_seen: int, milliseconds: int) -> None:
        """Add one point per metric, measured at a time in milliseconds since 1970; raises what the server answers."""
        points = [Metric(key, float(value), milliseconds, images_seen) for key, value in metrics.items()]
        for start in range(0, len(points), METRICS_PER_REQUEST):
            self.client.log_batch(self.run_id, metrics=points[start : start + METRICS_PER_REQUEST])

    def send_tags(self, tags: dict[str, str]) -> None:
        """Set or overwrite tags; raises what the server answers."""
        entities = [RunTag(key, _cut(value, TAG_LENGTH)) for key, value in tags.items()]
        for start in range(0, len(entities), BATCH):
            self.client.log_batch(self.run_id, tags=entities[start : start + BATCH])

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # whatever a store raises (network, database, disk): the job goes on
            self.failures += 1
            if self.failures == 1:
                _log.warning(
                    "tracking: %s did not take what was sent (%s); it is lost, and the job goes on; this is logged once",
                    without_password(self.tracking_uri),
                    str(error)[:300],
                )


def _is_active(tracking_uri: str, run_id: str) -> bool:
    """Whether a server knows a run that was not deleted; raises InputError where that cannot be found out."""
    client = connect(tracking_uri)
    with refusals_as_input_errors(tracking_uri):
        try:
            return client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False


def _experiment_id(client: MlflowClient, name: str) -> str:
    artifacts = None
    if client.tracking_uri.startswith("sqlite"):
        # MLflow's default is `mlruns` in the working directory, which differs between processes.
        artifacts = artifacts_uri(sqlite_path(client.tracking_uri))
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another run made it in between
            assert experiment is not None
    if experiment.lifecycle_stage != "active":
        raise InputError(f"the experiment {name!r} was deleted: restore it, or choose another name with `experiment`")
    return experiment.experiment_id


def _cut(value: Any, length: int) -> str:
    text = str(value)
    if len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: length - 40]}... sha256 {digest}"
