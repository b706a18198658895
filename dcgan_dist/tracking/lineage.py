"""Where a registered model comes from: its version, its run, and the sample grids that the run drew."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from dcgan_dist.config import InputError
from dcgan_dist.tracking.server import connect, in_words, without_password


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """What the registry knows about one model."""

    uri: str
    """models:/<name>/<version>, whatever alias it was named by; for an unregistered model of a run, as given."""
    run_id: str
    """The run that trained it; empty where none is known."""
    tags: dict[str, str] = field(default_factory=dict)
    """Of the version: manifest_hash, preset, images_seen."""


def find_lineage(uri: str, tracking_uri: str) -> Lineage:
    """Resolve models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/MODEL_ID or runs:/RUN_ID/generator.

    Raises:
        InputError: no such model, or no answer.
    """
    client = connect(tracking_uri, must_exist=True)
    with in_words(tracking_uri):
        try:
            if found := _version(client, uri):
                tags = dict(found.tags)
                return Lineage(uri=f"models:/{found.name}/{found.version}", run_id=str(found.run_id or ""), tags=tags)
            if match := re.fullmatch(r"runs:/([^/]+)/[^/]+", uri):
                return Lineage(uri=uri, run_id=match[1])
            if match := re.fullmatch(r"models:/(m-[0-9a-f]{32})", uri):
                logged = client.get_logged_model(match[1])
                return Lineage(uri=uri, run_id=str(logged.source_run_id or ""))
        except MlflowException as error:
            raise InputError(
                f"{uri} is not in the registry of {without_password(tracking_uri)}: {error.message}"
            ) from error
        raise InputError(f"{uri} is not in the registry of {without_password(tracking_uri)}: correct --model")


def _version(client: MlflowClient, uri: str) -> ModelVersion | None:
    if match := re.fullmatch(r"models:/([^/@]+)@([\w-]+)", uri):
        return client.get_model_version_by_alias(*match.groups())
    if match := re.fullmatch(r"models:/([^/@]+)/(\d+)", uri):
        return client.get_model_version(*match.groups())
    if match := re.fullmatch(r"models:/([^/@]+)/latest", uri):
        versions = client.search_model_versions(f"name = '{match[1]}'")
        return max(versions, key=lambda version: int(version.version), default=None)
    if match := re.fullmatch(r"runs:/([0-9a-f]+)/(\w+)", uri):
        versions = client.search_model_versions(f"run_id = '{match[1]}'")
        return next((version for version in versions if version.name.endswith(f"-{match[2]}")), None)
    return None


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
    with in_words(tracking_uri), tempfile.TemporaryDirectory(prefix="dcgan_dist-") as folder:
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
        chosen = {min(names, key=lambda seen: abs(seen * per_image - epoch)) for epoch in epochs}
        grids = []
        for seen in sorted(chosen):
            path = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=names[seen], dst_path=folder, tracking_uri=client.tracking_uri
            )
            grids.append(SampleGrid(epoch=seen * per_image, images_seen=seen, png=Path(path).read_bytes()))
    return grids
