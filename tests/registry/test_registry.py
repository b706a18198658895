"""Networks go into a real registry and come back bit by bit, without pickle."""

from __future__ import annotations

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
from torch import Tensor

from dcgan_dist.config import ModelConfig
from dcgan_dist.errors import InputError
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches, seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import preset
from dcgan_dist.registry.exported_weights import read_exported_weights
from dcgan_dist.registry.registry import load_discriminator, load_generator, register_network
from dcgan_dist.tracking.runs import TrackedRun

Pair = tuple[Generator, Discriminator, tuple[Tensor | None, ...], tuple[Tensor | None, ...]]


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


def small(name: str) -> ModelConfig:
    model = preset(name).model
    dense = {
        "generator_dense": model.generator_dense and (8,),
        "discriminator_dense": model.discriminator_dense and (8,),
    }
    return dataclasses.replace(model, generator_width=4, discriminator_width=4, **dense)


def networks(name: str, dtype: torch.dtype = torch.float32) -> Pair:
    """Both networks of a preset, made narrow, ready for export, with inputs for each."""
    config = small(name)
    generator, discriminator = Generator(config).to(dtype), Discriminator(config).to(dtype)
    for network in (generator, discriminator):
        initialise(network, std=0.1, generator=seeded(name))
    (z, labels), *_ = batches = prior_batches(config, batches=3, batch_size=9, seed=0, device="cpu", dtype=dtype)
    restandardise(generator, batches)
    images = torch.rand(9, config.image_channels, config.image_size, config.image_size, generator=seeded(1)).to(dtype)
    restandardise(discriminator, [(images, labels)])
    return generator, discriminator, (z, labels), (images, labels)


@pytest.fixture
def run(tracking_uri: str) -> TrackedRun:
    return TrackedRun.create(tracking_uri, "registry", "a run", {}, {})


def register(run: TrackedRun, network: Generator | Discriminator, name: str = "", alias: str = "candidate") -> str:
    name = name or f"dcgan-tests-{type(network).__name__.lower()}"
    return register_network(run, network, name, card="# A card", tags={"preset": "x"}, alias=alias).uri


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("demo32", torch.float32),
        ("imagenet32", torch.float32),
        ("examples64", torch.float64),
        ("mnist28", torch.float32),
    ],
)
def test_networks_come_back_bit_by_bit(run: TrackedRun, temporary: Path, name: str, dtype: torch.dtype) -> None:
    generator, discriminator, latents, images = networks(name, dtype)
    random_state = torch.get_rng_state()

    g_uri, d_uri = register(run, generator), register(run, discriminator)
    loaded_g, loaded_d = load_generator(g_uri, run.tracking_uri), load_discriminator(d_uri, run.tracking_uri)

    for original, loaded, inputs in ((generator, loaded_g, latents), (discriminator, loaded_d, images)):
        assert loaded.config == original.config
        assert not loaded.training
        for key, value in original.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
            assert loaded.state_dict()[key].dtype == dtype
        assert torch.equal(loaded(*inputs), original(*inputs))
    assert all(parameter.requires_grad for parameter in generator.parameters()), "the registered network is not changed"
    left = [path for path in temporary.iterdir() if not path.name.startswith("torchinductor_")]  # torch's one cache
    assert left == [], "no temporary folder is left"
    assert torch.equal(torch.get_rng_state(), random_state)


def test_every_way_to_name_a_model_finds_it(run: TrackedRun) -> None:
    first, discriminator, *_ = networks("demo32")
    second, *_ = networks("svhn32")
    register(run, first, "dcgan-named-generator", alias="champion")
    second_uri = register(run, second, "dcgan-named-generator")
    register(run, discriminator, "dcgan-named-discriminator")
    number = int(second_uri.rsplit("/", 1)[1])

    found = {
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

    assert list(found.values()) == [first.config] * 2 + [second.config] * 4
    assert load_discriminator(f"runs:/{run.run_id}/discriminator", run.tracking_uri).config == discriminator.config


def test_what_is_not_there_is_said_with_what_is(run: TrackedRun) -> None:
    generator, discriminator, *_ = networks("demo32")
    register(run, generator, "dcgan-there-generator")
    register(run, discriminator, "dcgan-there-discriminator")

    for uri, said in (
        ("models:/nothing@candidate", r"no model is registered as 'nothing': there are .*dcgan-there-generator"),
        ("models:/dcgan-there-generator@champion", "no alias 'champion': there are candidate"),
        ("models:/dcgan-there-generator/99", "no version 99: there are 1"),
        ("models:/dcgan-there-discriminator@candidate", "is a discriminator, not a generator"),
        (f"runs:/{run.run_id}/discriminator", "is a discriminator, not a generator"),
        (f"runs:/{run.run_id}/nothing", "has no model 'nothing': there are"),
        ("runs:/unknown/generator", "refused: .*unknown not found"),
        ("dcgan-there-generator", "names no model: write models:/NAME@ALIAS"),
        ("models:/dcgan-there-generator", "names no model"),
    ):
        with pytest.raises(InputError, match=said):
            load_generator(uri, run.tracking_uri)


def test_version_carries_card_tags_signature_and_the_run(run: TrackedRun, tmp_path: Path) -> None:
    generator, *_ = networks("demo32")

    made = register_network(
        run, generator, "dcgan-card-generator", card="# Card\n" + "x" * 9000, tags={"preset": "demo32"}
    )

    version = run.client.get_model_version("dcgan-card-generator", str(made.version))
    assert version.run_id == run.run_id
    assert version.tags == {"preset": "demo32"}
    assert version.aliases == ["candidate"]
    assert version.description is not None
    assert version.description.startswith("# Card")
    assert len(version.description) <= 5000
    (logged,) = run.client.search_logged_models([run.experiment_id], filter_string="name = 'generator'", max_results=1)
    folder = Path(
        mlflow.artifacts.download_artifacts(
            logged.artifact_location, dst_path=str(tmp_path), tracking_uri=run.tracking_uri
        )
    )
    card, config = (folder / "extra_files" / name for name in ("model_card.md", "model_config.json"))
    assert card.read_text().endswith("x" * 9000)
    assert json.loads(config.read_text()) == json.loads(json.dumps(dataclasses.asdict(generator.config)))
    signature = mlflow.pyfunc.load_model(str(folder)).metadata.signature
    assert signature.inputs.inputs[0].shape == (-1, 100)
    assert signature.outputs.inputs[0].shape == (-1, 3, 32, 32)


def test_files_hold_no_pickle(run: TrackedRun, tmp_path: Path) -> None:
    generator, *_ = networks("mnist28")
    register(run, generator)
    (logged,) = run.client.search_logged_models([run.experiment_id], filter_string="name = 'generator'", max_results=1)

    folder = Path(
        mlflow.artifacts.download_artifacts(
            logged.artifact_location, dst_path=str(tmp_path), tracking_uri=run.tracking_uri
        )
    )

    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert "data/model.pt2" in names
    assert not any(name.endswith((".pkl", ".pickle", ".pth", ".pt", ".bin")) for name in names), names
    with zipfile.ZipFile(folder / "data" / "model.pt2") as archive:
        indexes = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("_config.json")]
    assert not any(entry["use_pickle"] for index in indexes for entry in index["config"].values())


@pytest.mark.parametrize("name", ["demo32", "mnist28"])
def test_exported_graph_works_without_our_code_for_any_batch(run: TrackedRun, tmp_path: Path, name: str) -> None:
    generator, discriminator, latents, images = networks(name)

    for network, inputs in ((generator, latents), (discriminator, images)):
        register(run, network)
        kind = type(network).__name__.lower()
        logged = run.client.search_logged_models([run.experiment_id], filter_string=f"name = '{kind}'")
        newest = max(logged, key=lambda model: model.creation_timestamp)
        folder = mlflow.artifacts.download_artifacts(
            newest.artifact_location, dst_path=str(tmp_path / kind), tracking_uri=run.tracking_uri
        )

        graph = load_model(folder)

        for rows in (1, 2, 9):
            given = [x[:rows] for x in inputs if x is not None]
            made = graph(*given)
            torch.testing.assert_close(made, network(*given).detach())
            assert not made.requires_grad
        if name == "demo32":
            (x, _) = inputs
            assert x is not None
            predicted = mlflow.pyfunc.load_model(folder).predict(x.numpy())
            np.testing.assert_allclose(predicted, network(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_only_a_finished_network_can_be_registered(database: str) -> None:
    run = TrackedRun.create(database, "registry", "a run", {}, {})
    generator, *_ = networks("demo32")

    for network in (Generator(generator.config).eval(), generator.train()):
        with pytest.raises(ValueError, match="call restandardise first"):
            register(run, network, "dcgan-never-generator")

    assert not run.client.search_registered_models(filter_string="name = 'dcgan-never-generator'")


def model_file(database: str, run: TrackedRun) -> Path:
    """The exported program of the run's newest generator, where the database keeps it."""
    logged = run.client.search_logged_models([run.experiment_id], filter_string="name = 'generator'")
    newest = max(logged, key=lambda model: model.creation_timestamp)
    return Path(urlsplit(newest.artifact_location).path.replace("%20", " ")) / "data" / "model.pt2"


def test_damaged_and_foreign_models_are_refused(database: str) -> None:
    run = TrackedRun.create(database, "registry", "a run", {}, {})
    generator, *_ = networks("demo32")
    uri = register(run, generator, "dcgan-damaged-generator")
    file = model_file(database, run)
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
