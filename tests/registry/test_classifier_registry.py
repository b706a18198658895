"""A supervised network in the registry: by alias, without pickle, with a card that works."""

from __future__ import annotations

import re

import mlflow
import pytest
import torch
from mlflow.pytorch import load_model

from dcgan_dist.config import replace
from dcgan_dist.errors import InputError
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.registry.model_card import classifier_card
from dcgan_dist.registry.registry import load_classifier, load_discriminator, register_network
from dcgan_dist.registry.versions import alias_tags, version_tags
from dcgan_dist.tracking.runs import TrackedRun

CONFIG = replace(SVHN_SUPERVISED, "classifier.model.discriminator_width", 4)
NAME = "dcgan-tests-supervised"


def classifier() -> tuple[Classifier, torch.Tensor]:
    """A network ready for export, and images for it."""
    network = Classifier(CONFIG.classifier)
    initialise(network, std=0.1, generator=seeded("classifier"))
    images = torch.rand(9, 3, 32, 32, generator=seeded(1)) * 2 - 1
    return restandardise(network, [(images,)]), images


def test_it_comes_back_bit_by_bit_and_its_graph_works_for_any_batch(tracking_uri: str, tmp_path) -> None:
    run = TrackedRun.create(tracking_uri, "registry", "a run", {}, {})
    network, images = classifier()

    made = register_network(run, network, NAME, card="# A card", tags={"dataset": "digits"})

    found = load_classifier(f"models:/{NAME}@candidate", tracking_uri)
    assert found.config == CONFIG.classifier
    assert torch.equal(found(images), network(images))
    assert version_tags(made.uri, tracking_uri) == {"dataset": "digits"} == alias_tags(NAME, "candidate", tracking_uri)
    place = run.client.get_model_version_download_uri(NAME, str(made.version))
    folder = mlflow.artifacts.download_artifacts(place, dst_path=str(tmp_path / "m"), tracking_uri=tracking_uri)
    graph = load_model(folder)
    for rows in (1, 2, 9):
        torch.testing.assert_close(graph(images[:rows]), network(images[:rows]).detach())


def test_other_kinds_and_missing_versions_are_refused(database: str) -> None:
    run = TrackedRun.create(database, "registry", "a run", {}, {})
    name = "dcgan-refused-supervised"
    register_network(run, classifier()[0], name, card="", tags={})

    with pytest.raises(InputError, match="is a classifier, not a discriminator"):
        load_discriminator(f"models:/{name}@candidate", database)
    with pytest.raises(InputError, match="no alias 'champion': there are candidate"):
        version_tags(f"models:/{name}@champion", database)
    with pytest.raises(InputError, match="no model is registered as 'nothing'"):
        version_tags("models:/nothing@candidate", database)
    with pytest.raises(InputError, match="names no registered version"):
        version_tags(f"runs:/{run.run_id}/classifier", database)
    assert alias_tags(name, "champion", database) == alias_tags("nothing", "candidate", database) == {}


def test_the_card_says_how_it_was_found_and_its_example_runs() -> None:
    text = classifier_card(
        name=NAME,
        data="digits: 1,000 labels",
        config=CONFIG,
        search="best of 64",
        quality={"validation_error_percent": 2.123456789},
        deviations=["not comparable"],
    )

    assert "| validation_error_percent | 2.12346 |" in text
    assert "- `optimizer.lr` = 0.0002" in text
    assert "not comparable" in text
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    network, images = classifier()
    names = {"classifier": network, "images": images}
    exec(example.splitlines()[-1], names)
    assert names["classes"].shape == (9,)
