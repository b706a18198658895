"""Standing statistics of a checkpoint from the middle of a run: measured once, found again, and never taken from a bad file."""

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.presets import preset
from dcgan_dist.registry import standing_cache
from dcgan_dist.registry.load import load_generator
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.networks import drawn_generator

MEASURED = "measured once"


def save(folder: Path, seed: int) -> str:
    """A checkpoint of a narrow generator without standing statistics; its path."""
    generator = Generator(drawn_generator().config)
    initialise(generator, std=0.1, generator=seeded(seed))
    config = dataclasses.replace(preset("demo32"), model=generator.config)
    save_checkpoint(folder, config, Progress(step=1, images_seen=128), {"generator": generator.state_dict()})
    return str(folder)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the cache, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(standing_cache, "BATCHES", 2)
    return tmp_path / standing_cache.CACHE


def test_statistics_are_measured_once_for_the_same_weights(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, copy, other = save(tmp_path / "a", 0), save(tmp_path / "b", 0), save(tmp_path / "c", 1)

    measured = load_generator(first)
    assert caplog.text.count(MEASURED) == 1
    again = load_generator(copy)
    assert caplog.text.count(MEASURED) == 1
    load_generator(other)

    assert caplog.text.count(MEASURED) == 2
    assert not again.training
    assert all(torch.equal(again.state_dict()[name], value) for name, value in measured.state_dict().items())
    assert len(list(cache.iterdir())) == 2
    assert {path.suffix for path in cache.iterdir()} == {".safetensors"}
    assert cache.stat().st_mode & 0o777 == 0o700


def negative(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: -value if name.endswith("variance") else value for name, value in values.items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda values: {name: value * torch.nan for name, value in values.items()},
        lambda values: {name: value[:1].clone() for name, value in values.items()},
        lambda values: {name: value.double() for name, value in values.items()},
        lambda values: dict(list(values.items())[:-1]),
        negative,
        None,
    ],
)
def test_a_file_that_holds_no_statistics_of_this_network_is_measured_again(change, cache: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "a", 0)
    expected = load_generator(model).state_dict()
    (file,) = cache.iterdir()
    good = file.read_bytes()
    if change:
        save_file(change(load_file(file)), file)
    else:
        file.write_bytes(good[:-9])

    measured = load_generator(model).state_dict()

    assert all(torch.equal(measured[name], value) for name, value in expected.items())
    assert file.read_bytes() == good
