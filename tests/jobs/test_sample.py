"""jobs/sample.py on a snapshot folder and on a checkpoint of a run in its middle."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from dcgan_dist.models.standing_statistics import has_standing_statistics
from dcgan_dist.presets import preset
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.load import load_discriminator, load_generator
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import load_job

sample = load_job("sample")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    config = preset("demo32")
    save_checkpoint(folder, config, Progress(), build_players(config).state())
    return folder


def test_grid_and_single_files_show_the_images_of_the_python_call(checkpoint: Path, tmp_path: Path) -> None:
    assert sample(["--model", str(checkpoint), "--n", "5", "--out", str(tmp_path / "grid.png")]) == 0
    assert sample(["--model", str(checkpoint), "--n", "5", "--each", "--out", str(tmp_path / "each")]) == 0

    assert Image.open(tmp_path / "grid.png").width > 3 * 32
    files = sorted((tmp_path / "each").iterdir())
    images = sample_images(load_generator(str(checkpoint)), 5, seed=0)
    expected = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    assert [path.name for path in files] == [f"{i:06}.png" for i in range(5)]
    for path, image in zip(files, expected, strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - image.astype(int)).max() <= 1


def test_chosen_classes_take_turns(tmp_path: Path) -> None:
    config = preset("mnist28")
    save_checkpoint(tmp_path / "digits", config, Progress(), build_players(config).state())

    assert (
        sample(
            [
                "--model",
                str(tmp_path / "digits"),
                "--n",
                "3",
                "--classes",
                "7",
                "1",
                "--each",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )

    images = sample_images(load_generator(str(tmp_path / "digits")), 3, seed=0, labels=[7, 1, 7])
    for path, image in zip(sorted((tmp_path / "out").iterdir()), to_uint8(images, config.model.output), strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - image[0].numpy().astype(int)).max() <= 1


def test_a_checkpoint_without_standing_statistics_gets_them_when_loaded(checkpoint: Path) -> None:
    assert has_standing_statistics(load_generator(str(checkpoint)))
    assert not has_standing_statistics(load_discriminator(str(checkpoint)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere"], "neither models:/NAME@ALIAS"),
        (["--model", "CHECKPOINT", "--n", "0"], "--n 0"),
        (["--model", "CHECKPOINT", "--classes", "1"], "no classes"),
        (["--model", "models:/none@candidate", "--tracking-uri", "sqlite:////nowhere/none.db"], "none.db"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [str(checkpoint) if a == "CHECKPOINT" else a for a in arguments]

    with pytest.raises(InputError) as refused:
        sample([*arguments, "--out", str(tmp_path / "grid.png")])

    assert message in render_flags(refused.value)
    assert not list(tmp_path.iterdir())
