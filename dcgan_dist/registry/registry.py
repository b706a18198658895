"""Networks in the model registry: registered as exported graphs, loaded as our own modules, never through pickle."""

import copy
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import mlflow.artifacts
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pytorch import save_model
from mlflow.types import ColSpec, Schema, TensorSpec

from dcgan_dist.config import ClassifierConfig, ModelConfig, from_dict
from dcgan_dist.errors import InputError
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.standing_statistics import has_standing_statistics
from dcgan_dist.models.tensor_files import network_from
from dcgan_dist.quality.sampling import save_samples
from dcgan_dist.registry.exported_weights import read_exported_weights
from dcgan_dist.registry.model_card import SAMPLES
from dcgan_dist.registry.model_uri import LoggedModelUri, ModelOfRun, parse_model_uri
from dcgan_dist.registry.versions import find_version
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect, refusals_as_input_errors
from dcgan_dist.untrusted import parse_json, read_file, refusing

Network = TypeVar("Network", Generator, Discriminator, Classifier)

CONFIGS = {Generator: ModelConfig, Discriminator: ModelConfig, Classifier: ClassifierConfig}
"""What `model_config.json` holds of each kind of network."""

EXAMPLE_ROWS = 2  # with one row the exporter would fix the batch size to 1
CARD = "extra_files/model_card.md"
MOST_CARD_BYTES = 1 << 20
DESCRIPTION_LENGTH = 5000  # of a registered version, the limit of MLflow's database


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredNetwork:
    """A version in the registry."""

    uri: str
    """models:/<name>/<version>."""
    version: int
    """Counted from 1 for each name."""


def register_network(
    run: TrackedRun,
    network: Generator | Discriminator | Classifier,
    name: str,
    *,
    card: str,
    tags: dict[str, str],
    alias: str = "candidate",
    images_seen: int = 0,
) -> RegisteredNetwork:
    """Register a network as a new version of `name` and point the alias at it.

    What is kept: the graph that torch.export makes of the network in eval mode (any batch size), a signature and an
    input example, `extra_files/model_config.json` (ModelConfig, of a classifier ClassifierConfig) and
    `extra_files/model_card.md`, of a generator `extra_files/samples.png`. Among the run's models it is called "generator", "discriminator" or "classifier", also
    reachable as runs:/<run id>/generator.

    Args:
        run: the run that trained it.
        network: in eval mode, with standing statistics; float32 or float64, on any device; it is not changed.
        name: for example dcgan-lsun-generator.
        card: Markdown, see `model_card`; also the description of the version.
        tags: of the version.
        alias: moved to the new version; empty: none.
        images_seen: real images that it was trained on.

    Raises:
        ValueError: train mode, or no standing statistics: call `restandardise` first.
        InputError: the server or database cannot be used.
    """
    if network.training or not has_standing_statistics(network):
        raise ValueError(
            "only a network in eval mode with standing statistics can be registered: call restandardise first"
        )
    client, kind = run.client, _kind(type(network))
    with refusals_as_input_errors(run.tracking_uri), tempfile.TemporaryDirectory(prefix="dcgan_dist-") as folder:
        logged = client.create_logged_model(run.experiment_id, name=kind, source_run_id=run.run_id, tags=tags)
        try:
            _export(network, Path(folder), card, logged)
            client.log_model_artifacts(logged.model_id, str(Path(folder) / "model"))
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=images_seen)])

        _make_name(client, name)
        made = client.create_model_version(
            name,
            logged.artifact_location,  # not models:/<id>: a database would look that up at MLflow's process-wide server
            run.run_id,
            tags=tags,
            description=card[:DESCRIPTION_LENGTH],
            model_id=logged.model_id,
        )
        if alias:
            client.set_registered_model_alias(name, alias, made.version)
    return RegisteredNetwork(uri=f"models:/{name}/{made.version}", version=int(made.version))


def _make_name(client: MlflowClient, name: str) -> None:
    """Make a registered model of that name where there is none."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _kind(network_class: type) -> str:
    return network_class.__name__.lower()


def _export(network: Generator | Discriminator | Classifier, folder: Path, card: str, logged: LoggedModel) -> None:
    """Write the MLflow model into folder / "model"."""
    config = network.config.model if isinstance(network, Classifier) else network.config
    (folder / "model_config.json").write_text(json.dumps(dataclasses.asdict(network.config), indent=2))
    (folder / "model_card.md").write_text(card)
    extra_files = [folder / "model_config.json", folder / "model_card.md"]
    frozen = copy.deepcopy(network).cpu().requires_grad_(False)  # so that outputs of the loaded graph need no gradient
    if isinstance(frozen, Generator):
        extra_files.append(folder / SAMPLES)
        save_samples(frozen, folder / SAMPLES, n=64, seed=0)

    dtype = np.dtype("float64" if next(frozen.parameters()).dtype == torch.float64 else "float32")
    images, z = (config.image_channels, config.image_size, config.image_size), (config.latent_dim,)
    is_generator = isinstance(network, Generator)
    inputs: dict[str, tuple[np.dtype, tuple[int, ...]]] = {
        "z" if is_generator else "images": (dtype, z if is_generator else images)
    }
    if config.classes:
        inputs["labels"] = (np.dtype("int64"), ())
    specs: list[ColSpec | TensorSpec] = [
        TensorSpec(kind, (-1, *shape), name if len(inputs) > 1 else None) for name, (kind, shape) in inputs.items()
    ]
    logits = (-1, network.config.classes) if isinstance(network, Classifier) else (-1,)
    output = TensorSpec(dtype, (-1, *images) if is_generator else logits)
    example = tuple(np.zeros((EXAMPLE_ROWS, *shape), kind) for kind, shape in inputs.values())
    save_model(
        frozen,
        str(folder / "model"),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=logged.source_run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            metadata={"network": _kind(type(network))},
        ),
        signature=ModelSignature(Schema(specs), Schema([output])),
        input_example=example[0] if len(example) == 1 else example,  # pyright: ignore[reportArgumentType]
        extra_files=[str(file) for file in extra_files],
        pip_requirements=[f"{package}=={version(package)}" for package in ("torch", "mlflow")],
        serialization_format="pt2",
    )


def load_registered(uri: str, tracking_uri: str, network_class: type[Network]) -> Network:
    """Rebuild a registered network as our own module, in eval mode with standing statistics, on the CPU.

    Args:
        uri: models:/<name>@<alias>, models:/<name>/<version or latest>, models:/<model id>, or runs:/<run id>/generator.
        tracking_uri: server or database that holds it.
        network_class: Generator, Discriminator or Classifier.

    Raises:
        InputError: no such model (what there is is listed), another kind of network, damaged, or no answer.
    """
    with _files(uri, tracking_uri) as path:
        settings = path / "extra_files" / "model_config.json"
        if not settings.exists():
            raise InputError(f"{uri} was not registered by dcgan_dist: it has no {settings.name}")
        with refusing(f"{uri} is damaged", "register it again"):
            kind = (Model.load(str(path)).metadata or {}).get("network")
            content = parse_json(read_file(settings), dict[str, Any])
        if kind != _kind(network_class):
            raise InputError(f"{uri} is a {kind}, not a {_kind(network_class)}: name the other model of that run")
        weights = read_exported_weights(path / "data" / "model.pt2")
        config = from_dict(CONFIGS[network_class], content)
        with refusing(f"the weights of {uri} do not fit its model_config.json", "register it again"):
            return network_from(network_class, config, weights).eval()


def load_registered_card(uri: str, tracking_uri: str) -> str:
    """The model card of a registered network, Markdown.

    Raises:
        InputError: as `load_registered`, or it has none.
    """
    with _files(uri, tracking_uri, CARD) as path, refusing(f"{uri} has no model card", "register the model again"):
        return read_file(path, MOST_CARD_BYTES).decode()


@contextmanager
def _files(uri: str, tracking_uri: str, name: str = "") -> Iterator[Path]:
    """A local copy, for the time of the `with`, of the files of a registered network, or of one of them."""
    client = connect(tracking_uri, must_exist=True)
    with refusals_as_input_errors(tracking_uri), tempfile.TemporaryDirectory(prefix="dcgan_dist-") as folder:
        # Not by the uri itself: MLflow would look it up at its process-wide server instead of this one.
        place = _artifact_location(client, uri)
        place = f"{place}/{name}" if name else place
        try:
            path = mlflow.artifacts.download_artifacts(place, dst_path=folder, tracking_uri=client.tracking_uri)
        except (MlflowException, OSError) as error:
            raise InputError(f"the files of {uri} cannot be fetched from {place}: {error}") from error
        yield Path(path)


def _artifact_location(client: MlflowClient, uri: str) -> str:
    """Where the files of a model lie."""
    match parse_model_uri(uri):
        case ModelOfRun(run_id=run_id, name=name):
            return _newest_of_run(client, run_id, name).artifact_location
        case LoggedModelUri(model_id=model_id):
            return client.get_logged_model(model_id).artifact_location
        case named:
            version = find_version(client, named)
            return client.get_model_version_download_uri(version.name, version.version)


def _newest_of_run(client: MlflowClient, run_id: str, name: str) -> LoggedModel:
    experiment_id = client.get_run(run_id).info.experiment_id
    logged, token = [], None
    while True:
        page = client.search_logged_models([experiment_id], page_token=token)
        logged += [model for model in page if model.source_run_id == run_id]
        if not (token := page.token):
            break
    matching = [model for model in logged if model.name == name]
    if not matching:
        raise InputError(
            f"run {run_id} has no model {name!r}: there are {', '.join({m.name for m in logged}) or 'none'}"
        )
    return max(matching, key=lambda model: model.creation_timestamp)
