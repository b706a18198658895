"""Checkpoints prove themselves; what was changed is found."""

from pathlib import Path

import pytest
import torch

from dcgan_dist.config import replace
from dcgan_dist.errors import InputError
from dcgan_dist.presets import preset
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.step import adversarial_step
from dcgan_dist.training.whole_checkpoint import Progress, damage, load_checkpoint, save_checkpoint, state_sha256

CONFIG = replace(preset("demo32"), "ema_half_life_images", 100)


def moved_players(steps: int = 1) -> Players:
    players = build_players(CONFIG)
    for _ in range(steps):
        adversarial_step(players, torch.rand(4, 3, 32, 32), torch.rand(4, 100), row_weight=0.25)
    return players


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "c", CONFIG, Progress(step=1, images_seen=4), moved_players().state())
    return tmp_path / "c"


def test_everything_comes_back(tmp_path: Path) -> None:
    players = moved_players(2)
    save_checkpoint(tmp_path / "c", CONFIG, Progress(step=2, images_seen=8, alarm_count=3), players.state())

    config, progress, state = load_checkpoint(tmp_path / "c")
    other = build_players(CONFIG)
    other.load_state(state)

    assert config == CONFIG
    assert progress == Progress(step=2, images_seen=8, alarm_count=3)
    assert state_sha256(other.state()) == state_sha256(players.state())


def test_the_hash_changes_with_any_parameter_or_optimiser_state() -> None:
    players = moved_players()
    before = state_sha256(players.state())
    with torch.no_grad():
        players.generator.projection.weight[0, 0] += 1e-7
    after_parameter = state_sha256(players.state())
    next(iter(players.optimizer_d.state.values()))["exp_avg"][0, 0, 0, 0] += 1e-7

    assert len({before, after_parameter, state_sha256(players.state())}) == 3


FILES = ["generator", "discriminator", "generator_ema", "optimizer_g", "optimizer_d"]


@pytest.mark.parametrize("name", [*(f"{name}.pt" for name in FILES), "config.json", "progress.json", "checkpoint.json"])
@pytest.mark.parametrize("fault", ["flipped bit", "cut", "missing"])
def test_any_damaged_file_is_named(checkpoint: Path, name: str, fault: str) -> None:
    path = checkpoint / name
    content = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if fault == "flipped bit" else content[: len(content) // 2])

    wrong = damage(checkpoint)

    assert wrong is not None
    if name != "checkpoint.json":
        assert name in wrong
    with pytest.raises(InputError, match="use another checkpoint"):
        load_checkpoint(checkpoint)


def test_an_undamaged_checkpoint_is_not_accused(checkpoint: Path) -> None:
    assert damage(checkpoint) is None


def test_a_killed_writer_s_leftover_is_no_checkpoint_and_is_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / "c.tmp"
    leftover.mkdir()
    (leftover / "generator.pt").write_bytes(b"half")
    assert damage(leftover) is not None

    save_checkpoint(tmp_path / "c", CONFIG, Progress(), moved_players(0).state())

    assert damage(tmp_path / "c") is None
    assert not leftover.exists()
