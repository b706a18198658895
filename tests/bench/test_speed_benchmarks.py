"""The speed benchmarks run, and what they count is right; how fast anything is, is no test's business."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dcgan_dist.bench.__main__ import main
from dcgan_dist.bench.examples_loop import plain_discriminator, plain_generator
from dcgan_dist.config import replace
from dcgan_dist.errors import InputError
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.flops import step_flops_per_image
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import preset

Figures = Callable[[str, str], Any]


@pytest.mark.parametrize("name", ["examples64", "lsun64", "imagenet32"])
def test_the_examples_networks_have_the_shape_and_work_of_ours(name: str) -> None:
    model = preset(name).model
    with torch.device("meta"):
        z = torch.empty(2, model.latent_dim, 1, 1)
        images = plain_generator(model)(z)
        plain = sum(p.numel() for p in plain_discriminator(model).parameters() if p.ndim > 1)
        ours = sum(p.numel() for p in Discriminator(model).parameters() if p.ndim > 1)
        made = sum(p.numel() for p in plain_generator(model).parameters() if p.ndim > 1)
        ours_made = sum(p.numel() for p in Generator(model).parameters() if p.ndim > 1)

    assert images.shape == (2, 3, model.image_size, model.image_size)
    assert (plain, made) == (ours, ours_made)


def test_the_data_benchmark_measures_the_readers_that_are_asked_for(
    figures: Figures, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--n 300 --batch-size 32 --seconds 0.05 --turns 1 --loader-workers 0"

    rows = figures("data", f"{small} --only ours")["rows"]

    assert [row["reader"] for row in rows] == ["ours, JPEG", "ours, blocks"]
    assert all(row["images_per_s"] > 0 for row in rows)
    assert "images/s" in capsys.readouterr().out


def test_step_compares_every_way_of_computing_with_the_examples_loop(figures: Figures) -> None:
    (table,) = figures("step", "--preset demo32 --batch-size 4 --steps 1 --turns 1")

    assert set(table["variants"]) >= {"ours, float32", "+ bfloat16", "examples' loop"}
    assert table["variants"]["examples' loop"]["times_examples"] == 1


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
            ],
        ),
    ],
)
def test_layers_sets_every_layer_against_the_best_of_the_machine(device: str, figures: Figures) -> None:
    table = figures("layers", f"--preset demo32 --batch-size 4 --turns 1 --device {device}")

    model = preset("demo32").model
    weights = {
        n for network in (Generator(model), Discriminator(model)) for n, p in network.named_parameters() if p.ndim > 1
    }
    assert {name.split()[1] + ".weight" for name in table["layers"] if "norm" not in name} == weights
    assert all(row["bound_seconds"] > 0 <= row["seconds"] for row in table["layers"].values())
    # The estimate counts gradients of z and, in the D phase, of the images too, which nobody computes.
    first_layer = (
        table["layers"]["D convolutions.0 forward"]["flops"] / table["layers"]["D convolutions.0 forward"]["per_step"]
    )
    projection = table["layers"]["G projection forward"]["flops"]
    estimate = 4 * step_flops_per_image(replace(preset("demo32"), "schedule", "both"))
    arithmetic = sum(row["flops"] for row in table["layers"].values())
    assert arithmetic == pytest.approx(estimate - 2 * first_layer - projection, rel=1e-6)


def test_train_says_what_the_way_from_the_shards_costs(figures: Figures) -> None:
    result = figures("train", "--preset demo32 --batch-size 8 --n 64 --steps 2 --turns 1")

    assert result["layout"] == "blocks"
    assert 0 <= result["data_wait_share"] < 1


def test_two_ranks_average_the_gradient_of_every_parameter_once(figures: Figures) -> None:
    measured = figures("scaling", "--preset demo32 --batch-size 8 --ranks 2 --steps 1 --turns 1")["measured"]

    assert measured["2"]["reduced_bytes"] == measured["2"]["theory_bytes"] > 0
    assert measured["1"]["reduced_bytes"] == 0


def test_an_unknown_benchmark_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="name one of data, step"):
        main(["speed"])
