"""Files of PyTorch's DCGAN example: its own networks, built here by torch alone, and the same in ours."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dcgan_dist.errors import InputError
from dcgan_dist.models.example_files import SIZES
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.load import describe_training, load_discriminator, load_generator
from tests.helpers.jobs import load_job
from tests.helpers.networks import drawn_example

SHAPES = [{}, {"channels": 1, "hidden": 3, "nz": 7}, {"hidden": 5, "width": 2}, {"hidden": 1}]
"""The example's 64 pixels, and copies of it for 32, 128 and 8."""


def saved(network: nn.Module, folder: Path, prefix: str = "") -> str:
    path = folder / "net_epoch_24.pth"
    torch.save({prefix + name: array for name, array in network.state_dict().items()}, path)
    return str(path)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_one_z_gives_the_image_of_the_example(shape: dict[str, int], prefix: str, tmp_path: Path) -> None:
    network, z = drawn_example("generator", **shape)

    generator = load_generator(saved(network, tmp_path, prefix))

    # In float64, as the rounding of float32 differs from processor to processor.
    config, z = generator.config, z.double()
    images = network.double().main(z).detach()
    assert images.std() > 0.1
    assert (images.abs() < 0.999).float().mean() > 0.5, "tanh is not saturated, so that differences are seen"
    torch.testing.assert_close(generator.double()(z.flatten(1)), images, rtol=0, atol=1e-9)
    assert (config.image_channels, config.image_size, config.image_size) == images.shape[1:]
    assert (config.latent_dim, config.latent_distribution) == (z.shape[1], "normal")


@pytest.mark.parametrize("shape", SHAPES)
def test_one_image_gives_the_probability_of_the_example(shape: dict[str, int], tmp_path: Path) -> None:
    network, images = drawn_example("discriminator", **shape)

    discriminator = load_discriminator(saved(network, tmp_path))

    expected = network.double().main(images.double()).detach().flatten()
    assert expected.std() > 0.01
    torch.testing.assert_close(discriminator.double()(images.double()).sigmoid(), expected, rtol=0, atol=1e-9)


def test_jobs_take_the_file(tmp_path: Path) -> None:
    model = saved(drawn_example()[0], tmp_path)

    assert load_job("sample")(["--model", model, "--n", "3", "--each", "--out", str(tmp_path / "each")]) == 0

    assert len(list((tmp_path / "each").iterdir())) == 3
    assert sample_images(load_generator(model), 3, seed=0).shape == (3, 3, 64, 64)
    assert "not known" in describe_training(model)


def test_sizes_are_those_of_the_layers() -> None:
    assert SIZES == [8, 16, 32, 64, 128, 256, 512, 1024]


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Any]], None]:
    def apply(state: dict[str, Any]) -> None:
        state[name] = change(state[name])

    return apply


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("main.4.running_mean"), "no generator .* main.4.running_mean is missing"),
        (lambda state: state.update({"main.2.weight": torch.zeros(3)}), "main.2.weight is too much"),
        (lambda state: state.pop("main.1.weight"), "is a discriminator of PyTorch's example, not a generator"),
        (lambda state: state.clear(), "no main.0.weight"),
        (changed("main.3.weight", lambda x: x[..., :3, :3].clone()), r"main.3.weight .* shape \(24, 12, 3, 3\) where \(24, 12, 4, 4\)"),
        (changed("main.6.weight", lambda x: x[:5].clone()), r"main.6.weight .* shape \(5, 6, 4, 4\)"),
        (changed("main.0.weight", lambda x: x[..., :2].clone()), r"main.0.weight .* where \(20, 24, 4, 4\)"),
        (changed("main.7.running_var", lambda x: -x), "main.7.running_var .* negative variance"),
        (changed("main.12.weight", lambda x: x * torch.nan), "main.12.weight .* NaN"),
        (changed("main.12.weight", lambda x: x[:, :2].clone()), "2 channels"),
        (changed("main.0.weight", lambda x: x[:1, :1, :1, :1].clone().expand(10**6, 10**6, 4, 4)), "larger than the file"),
        (lambda state: state.update({name: x.half() for name, x in state.items()}), "torch.float16"),
        (lambda state: state.update({"epoch": 3}), "no network of PyTorch's DCGAN example"),
    ],
)  # fmt: skip
def test_other_files_are_refused(change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path) -> None:
    state, path = dict(drawn_example()[0].state_dict()), tmp_path / "netG.pth"
    change(state)
    torch.save(state, path)

    with pytest.raises(InputError, match=said):
        load_generator(str(path))


class Bomb:
    """What an attacker would put in the place of an array."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_what_is_no_such_file_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    network, _ = drawn_example()
    torch.save({"main.0.weight": Bomb()}, tmp_path / "bomb.pth")
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"main.0.weight": 1}))

    for name, said in (("bomb", "wants to run"), ("old", "written by torch 1.6 or newer"), ("plain", "not a zip file")):
        with pytest.raises(InputError, match=said):
            load_generator(str(tmp_path / f"{name}.pth"))
    assert not Path("exploded").exists()
    with pytest.raises(
        InputError, match="is a generator of PyTorch's example, not a discriminator: name the other file"
    ):
        load_discriminator(saved(network, tmp_path))
