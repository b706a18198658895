"""Networks go into a real registry and come back bit by bit, without pickle."""

import dataclasses
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pytest
import torch
from mlflow.pytorch import load_model

from dcgan_dist.errors import InputError
from dcgan_dist.models.generator import Generator
from dcgan_dist.registry.exported_weights import read_exported_weights
from dcgan_dist.registry.load import load_classifier, load_discriminator, load_generator
from dcgan_dist.registry.registry import Network, register_network
from dcgan_dist.registry.versions import alias_tags, version_tags
from dcgan_dist.tracking.runs import TrackedRun
from tests.helpers.networks import drawn_generator, drawn_network

LOADERS = {"generator": load_generator, "discriminator": load_discriminator, "classifier": load_classifier}
KINDS_AND_PRESETS = [(kind, name) for name in ("demo32", "mnist28") for kind in ("generator", "discriminator")]
KINDS_AND_PRESETS += [("classifier", "svhn32")]


@pytest.fixture(autouse=True)
def _no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def run(tracking_uri: str) -> TrackedRun:
    return TrackedRun.create(tracking_uri, "registry", "a run", {}, {})


@pytest.fixture
def run_in_database(database: str) -> TrackedRun:
    return TrackedRun.create(database, "registry", "a run", {}, {})


def register(run: TrackedRun, network: Network, name: str = "", alias: str = "candidate") -> str:
    name = name or f"dcgan-tests-{type(network).__name__.lower()}"
    return register_network(run, network, name, card="# A card", tags={"preset": "x"}, alias=alias).uri


def location(run: TrackedRun, kind: str) -> str:
    """Where the files of the run's newest network lie."""
    logged = run.client.search_logged_models([run.experiment_id], filter_string=f"name = '{kind}'")
    return max(logged, key=lambda model: model.creation_timestamp).artifact_location


def download(run: TrackedRun, kind: str, folder: Path) -> Path:
    """Files of the run's newest network."""
    place = location(run, kind)
    return Path(mlflow.artifacts.download_artifacts(place, dst_path=str(folder), tracking_uri=run.tracking_uri))


@pytest.mark.parametrize(
    ("kind", "name", "dtype"),
    [
        *((kind, name, torch.float32) for kind, name in KINDS_AND_PRESETS),
        ("generator", "imagenet32", torch.float32),
        ("discriminator", "imagenet32", torch.float32),
        ("generator", "examples64", torch.float64),
        ("discriminator", "examples64", torch.float64),
    ],
)
def test_networks_come_back_bit_by_bit(
    run: TrackedRun, temporary: Path, kind: str, name: str, dtype: torch.dtype
) -> None:
    network, inputs = drawn_network(kind, name, dtype)
    random_state = torch.get_rng_state()

    loaded = LOADERS[kind](register(run, network), run.tracking_uri)

    assert loaded.config == network.config
    assert not loaded.training
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
        assert loaded.state_dict()[key].dtype == dtype
    assert torch.equal(loaded(*inputs), network(*inputs))
    assert all(parameter.requires_grad for parameter in network.parameters()), "the registered network is not changed"
    caches = "torchinductor_"  # torch keeps one
    assert [path for path in temporary.iterdir() if not path.name.startswith(caches)] == []
    assert torch.equal(torch.get_rng_state(), random_state)


def test_every_way_to_name_a_model_finds_it(run: TrackedRun) -> None:
    first, second = drawn_generator("demo32"), drawn_generator("svhn32")
    discriminator, _ = drawn_network("discriminator")
    register(run, first, "dcgan-named-generator", alias="champion")
    second_uri = register(run, second, "dcgan-named-generator")
    register(run, discriminator, "dcgan-named-discriminator")
    number = int(second_uri.rsplit("/", 1)[1])

    configs = {
        uri: load_generator(uri, run.tracking_uri).config
        for uri in (
            f"models:/dcgan-named-generator/{number - 1}",
            "models:/dcgan-named-generator@champion",
            second_uri,
            "models:/dcgan-named-generator@candidate",
            "models:/dcgan-named-generator/latest",
            f"runs:/{run.run_id}/generator",
        )
    }

    assert list(configs.values()) == [first.config] * 2 + [second.config] * 4
    assert load_discriminator(f"runs:/{run.run_id}/discriminator", run.tracking_uri).config == discriminator.config


def test_what_is_not_there_is_said_with_what_is(run: TrackedRun) -> None:
    for kind in LOADERS:
        register(run, drawn_network(kind)[0], f"dcgan-there-{kind}")

    for uri, said in (
        ("models:/nothing@candidate", r"no model is registered as 'nothing': there are .*dcgan-there-generator"),
        ("models:/dcgan-there-generator@champion", "no alias 'champion': there are candidate"),
        ("models:/dcgan-there-generator/99", "no version 99: there are 1"),
        ("models:/dcgan-there-discriminator@candidate", "is a discriminator, not a generator"),
        (f"runs:/{run.run_id}/discriminator", "is a discriminator, not a generator"),
        (f"runs:/{run.run_id}/nothing", "has no model 'nothing': there are"),
        ("runs:/unknown/generator", "refused: .*unknown not found"),
        ("dcgan-there-generator", "is neither models:/NAME@ALIAS"),
        ("models:/dcgan-there-generator", "names no model"),
    ):
        with pytest.raises(InputError, match=said):
            load_generator(uri, run.tracking_uri)
    with pytest.raises(InputError, match="is a classifier, not a discriminator"):
        load_discriminator("models:/dcgan-there-classifier@candidate", run.tracking_uri)
    for uri, said in (
        ("models:/dcgan-there-classifier@champion", "no alias 'champion': there are candidate"),
        ("models:/nothing@candidate", "no model is registered as 'nothing'"),
        (f"runs:/{run.run_id}/classifier", "names no registered version"),
    ):
        with pytest.raises(InputError, match=said):
            version_tags(uri, run.tracking_uri)
    for name, alias in (("dcgan-there-classifier", "champion"), ("nothing", "candidate")):
        assert alias_tags(name, alias, run.tracking_uri) == {}


def test_version_carries_card_tags_signature_and_the_run(run: TrackedRun, tmp_path: Path) -> None:
    generator, name, tags = drawn_generator(), "dcgan-card-generator", {"preset": "demo32"}

    made = register_network(run, generator, name, card="# Card\n" + "x" * 9000, tags=tags)

    version = run.client.get_model_version(name, str(made.version))
    assert version.run_id == run.run_id
    assert version.tags == version_tags(made.uri, run.tracking_uri) == tags
    assert alias_tags(name, "candidate", run.tracking_uri) == tags
    assert version.aliases == ["candidate"]
    assert version.description is not None
    assert version.description.startswith("# Card")
    assert len(version.description) <= 5000
    folder = download(run, "generator", tmp_path)
    card, config = (folder / "extra_files" / name for name in ("model_card.md", "model_config.json"))
    assert card.read_text().endswith("x" * 9000)
    assert json.loads(config.read_text()) == json.loads(json.dumps(dataclasses.asdict(generator.config)))
    signature = mlflow.pyfunc.load_model(str(folder)).metadata.signature
    assert signature.inputs.inputs[0].shape == (-1, 100)
    assert signature.outputs.inputs[0].shape == (-1, 3, 32, 32)


def test_files_hold_no_pickle(run: TrackedRun, tmp_path: Path) -> None:
    register(run, drawn_generator("mnist28"))

    folder = download(run, "generator", tmp_path)

    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "data/model.pt2" in names
    assert not any(name.endswith((".pkl", ".pickle", ".pth", ".pt", ".bin")) for name in names), names
    with zipfile.ZipFile(folder / "data" / "model.pt2") as archive:
        indexes = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("_config.json")]
    assert not any(entry["use_pickle"] for index in indexes for entry in index["config"].values())


@pytest.mark.parametrize(("kind", "name"), KINDS_AND_PRESETS)
def test_exported_graph_works_without_our_code_for_any_batch(
    run: TrackedRun, tmp_path: Path, kind: str, name: str
) -> None:
    network, inputs = drawn_network(kind, name)
    register(run, network)
    folder = str(download(run, kind, tmp_path))

    graph = load_model(folder)

    for rows in (1, 2, 9):
        given = [x[:rows] for x in inputs]
        torch.testing.assert_close(graph(*given), network(*given).detach())
        assert not graph(*given).requires_grad
    if len(inputs) == 1:
        predicted = mlflow.pyfunc.load_model(folder).predict(inputs[0].numpy())
        np.testing.assert_allclose(predicted, network(*inputs).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_only_a_finished_network_can_be_registered(run_in_database: TrackedRun) -> None:
    run, generator = run_in_database, drawn_generator()

    for network in (Generator(generator.config).eval(), generator.train()):
        with pytest.raises(ValueError, match="call restandardise first"):
            register(run, network, "dcgan-never-generator")

    assert not run.client.search_registered_models(filter_string="name = 'dcgan-never-generator'")


def test_damaged_and_foreign_models_are_refused(run_in_database: TrackedRun, database: str) -> None:
    uri = register(run_in_database, drawn_generator(), "dcgan-damaged-generator")
    place = urlsplit(location(run_in_database, "generator")).path.replace("%20", " ")
    file = Path(place) / "data" / "model.pt2"
    config = file.parents[1] / "extra_files" / "model_config.json"
    original = config.read_text()

    config.write_text(original.replace('"generator_width": 4', '"generator_width": 8'))
    with pytest.raises(InputError, match="do not fit its model_config"):
        load_generator(uri, database)

    config.write_text(original.replace('"generator_width"', '"generator_with"'))
    with pytest.raises(InputError, match="did you mean 'generator_width'"):
        load_generator(uri, database)

    config.write_text(original)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"model\.pt2 is damaged"):
        load_generator(uri, database)

    config.unlink()
    with pytest.raises(InputError, match="was not registered by dcgan_dist"):
        load_generator(uri, database)

    shutil.rmtree(file.parents[1])
    with pytest.raises(InputError, match="files of models:/dcgan-damaged-generator/1 cannot be fetched"):
        load_generator(uri, database)


class Bomb:
    """What an attacker would put in the place of a weight."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_an_archive_that_asks_for_unpickling_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    file, poisoned = tmp_path / "good.pt2", tmp_path / "bad.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(2, 2),)), file)
    torch.save(Bomb(), tmp_path / "bomb")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(poisoned, "w") as target:
        for name in source.namelist():
            content = source.read(name).replace(b'"use_pickle": false', b'"use_pickle": true')
            target.writestr(name, (tmp_path / "bomb").read_bytes() if name.endswith("weight_0") else content)

    assert torch.equal(read_exported_weights(file)["weight"], network.weight)
    with pytest.raises(InputError, match="is pickled, which could run code while it is read: refused"):
        read_exported_weights(poisoned)
