"""Cards say what a network is and how to load it, by commands that work."""

import re
from typing import Any, Literal

import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import SVHN_SUPERVISED, preset
from dcgan_dist.registry.model_card import classifier_card, model_card
from tests.helpers.networks import drawn_network


def card(name: str, kind: Literal["generator", "discriminator"], **changes: Any) -> str:
    config = preset(name)
    values: dict[str, Any] = {
        "name": f"dcgan-{config.dataset}-{kind}",
        "config": config,
        "images_seen": 1_234_567,
        "updates": (4_000, 4_001),
        "manifest_hash": "0123abcd",
        "quality": {"quality/frechet_random": 1.23456789},
    }
    return model_card(kind=kind, **(values | changes))


def test_card_holds_where_the_network_comes_from_and_how_good_it_is() -> None:
    text = card("lsun64", "generator")

    for fact in ("`lsun64`", "1,234,567", "4,000", "4,001", "0123abcd", "| quality/frechet_random | 1.23457 |"):
        assert fact in text
    assert "Not measured." in card("lsun64", "generator", quality={})
    assert "not averaged" in text
    assert "averaged over the run" in card(
        "lsun64", "generator", config=replace(preset("lsun64"), "ema_half_life_images", 9)
    )
    assert text.isascii()
    assert len(text) < 5000, "the registry's description takes 5000 characters"


def run_example(text: str, names: dict[str, Any]) -> None:
    """Execute the Python lines of a card, all but what asks the server."""
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        exec("\n".join(line for line in example.splitlines() if "models:/" not in line), names)


@pytest.mark.parametrize("name", ["demo32", "svhn32", "mnist28"])
def test_the_example_in_the_card_runs(name: str) -> None:
    model = preset(name).model
    names: dict[str, Any] = {"labels": torch.zeros(64, dtype=torch.int64) if model.classes else None}
    names["generator"], names["discriminator"] = Generator(model), Discriminator(model)

    for kind in ("generator", "discriminator"):
        run_example(card(name, kind), names)
        assert callable(names[f"load_{kind}"])

    assert names["images"].shape == (64, model.image_channels, model.image_size, model.image_size)
    assert names["logits"].shape == (64,)


def test_only_generators_are_offered_for_sampling() -> None:
    command = "python jobs/sample.py --model models:/dcgan-lsun-generator@candidate --tracking-uri TRACKING_URI --n 64 --out grid.png"

    assert command in card("lsun64", "generator")
    assert "jobs/sample.py" not in card("lsun64", "discriminator")


def test_the_card_of_a_classifier_says_how_it_was_found_and_its_example_runs() -> None:
    text = classifier_card(
        name="dcgan-tests-supervised",
        data="digits: 1,000 labels",
        config=SVHN_SUPERVISED,
        search="best of 64",
        quality={"validation_error_percent": 2.123456789},
        deviations=["not comparable"],
    )

    for fact in ("| validation_error_percent | 2.12346 |", "- `optimizer.lr` = 0.0002", "not comparable"):
        assert fact in text
    network, (images,) = drawn_network("classifier", "svhn32")
    names = {"classifier": network, "images": images}
    run_example(text, names)
    assert names["classes"].shape == (9,)
