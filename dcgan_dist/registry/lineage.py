"""Where a registered model comes from: its version, its run, and the sample grids that the run drew."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mlflow.artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from dcgan_dist.errors import InputError
from dcgan_dist.registry.model_uri import LoggedModelUri, ModelOfRun, parse_model_uri
from dcgan_dist.registry.versions import find_version
from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.server import connect, refusals_as_input_errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """What the registry knows about one model."""

    uri: str
    """models:/<name>/<version>, whatever alias it was named by; for an unregistered model of a run, as given."""
    run_id: str
    """The run that trained it; empty where none is known."""
    tags: dict[str, str] = field(default_factory=dict)
    """The version's manifest_hash, preset and images_seen."""


def find_lineage(uri: str, tracking_uri: str) -> Lineage:
    """Resolve models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/MODEL_ID or runs:/RUN_ID/generator.

    Raises:
        InputError: no such model, or no answer.
    """
    client = connect(tracking_uri, must_exist=True)
    with refusals_as_input_errors(tracking_uri):
        match parse_model_uri(uri):
            case ModelOfRun(run_id=run_id, name=name):
                registered = client.search_model_versions(f"run_id = '{run_id}'")
                version = next((version for version in registered if version.name.endswith(f"-{name}")), None)
                return _of_version(version) if version else Lineage(uri=uri, run_id=run_id)
            case LoggedModelUri(model_id=model_id):
                try:
                    logged = client.get_logged_model(model_id)
                except MlflowException as error:
                    there = without_password(tracking_uri)
                    raise InputError(f"{uri} is not in the registry of {there}: {error.message}") from error
                return Lineage(uri=uri, run_id=str(logged.source_run_id or ""))
            case named:
                return _of_version(find_version(client, named))


def _of_version(version: ModelVersion) -> Lineage:
    uri = f"models:/{version.name}/{version.version}"
    return Lineage(uri=uri, run_id=str(version.run_id or ""), tags=dict(version.tags))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRecord:
    """What is known of the training of a network."""

    settings: dict[str, str]
    """Dotted path -> value."""
    images_seen: int
    """Real images seen, by all ranks."""
    epochs: float = 0.0
    """Passes over the data until then; 0: unknown."""
    seconds: float = 0.0
    """From the run's first start to its end; 0: unknown."""
    quality: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> value when it was first measured, and of the network."""


def training_record(run_id: str, tracking_uri: str, images_seen: int = 0) -> TrainingRecord:
    """What a run recorded until a network had seen so many images; 0: until its end.

    Raises:
        InputError: no answer, or no such run.
    """
    client = connect(tracking_uri, must_exist=True)
    with refusals_as_input_errors(tracking_uri):
        run = client.get_run(run_id)
        began, ended = run.info.start_time or 0, run.info.end_time or 0
        quality = {}
        for name in sorted(name for name in run.data.metrics if name.startswith("quality/")):
            history = sorted(client.get_metric_history(run_id, name), key=lambda point: point.step)
            until = [point.value for point in history if not images_seen or point.step <= images_seen]
            if until:
                quality[name] = until[0], until[-1]
        progress = client.get_metric_history(run_id, "progress/epoch")
    last = max(progress, key=lambda point: point.step, default=None)
    seen = images_seen or (last.step if last else 0)
    return TrainingRecord(
        settings=dict(run.data.params),
        images_seen=seen,
        epochs=last.value / last.step * seen if last and last.step else 0.0,
        seconds=max(0, ended - began) / 1000,
        quality=quality,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleGrid:
    """Samples that a run drew while it was trained."""

    epoch: float
    """Passes over the data until then."""
    images_seen: int
    """Real images seen until then."""
    png: bytes
    """The picture."""


def sample_grids(run_id: str, tracking_uri: str, epochs: Sequence[float]) -> list[SampleGrid]:
    """The grids that a run kept nearest to some epochs, each once, in order.

    Raises:
        InputError: no answer, or no such run.
    """
    client = connect(tracking_uri, must_exist=True)
    with refusals_as_input_errors(tracking_uri), tempfile.TemporaryDirectory(prefix="dcgan_dist-") as folder:
        history = [point for point in client.get_metric_history(run_id, "progress/epoch") if point.step > 0]
        names = {
            int(match[1]): entry.path
            for entry in client.list_artifacts(run_id, "grids")
            if (match := re.fullmatch(r"grids/(\d+)\.png", entry.path))
        }
        if not history or not names:
            return []
        last = max(history, key=lambda point: point.step)
        per_image = last.value / last.step
        chosen = {min(names, key=lambda images: abs(images * per_image - epoch)) for epoch in epochs}
        grids = []
        for images in sorted(chosen):
            path = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=names[images], dst_path=folder, tracking_uri=client.tracking_uri
            )
            grids.append(SampleGrid(epoch=images * per_image, images_seen=images, png=Path(path).read_bytes()))
    return grids
