"""Checkpoints are written while training goes on, and a storage that refuses one stops nothing."""

import threading
import time
from pathlib import Path
from typing import cast

import pytest
import torch

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import preset
from dcgan_dist.runs.async_checkpointer import SCORE, AsyncCheckpointer
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.events import CheckpointWritten
from dcgan_dist.runs.sample_evaluator import CancelledEvaluation
from dcgan_dist.storage.filesystems import with_retries
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.whole_checkpoint import Progress, load_checkpoint, load_log, state_sha256


def small() -> TrainConfig:
    config = preset("demo32")
    for name in ("generator_width", "discriminator_width"):
        config = replace(config, f"model.{name}", 8)
    return config


class SlowEvaluator:
    """Takes half a second, where it is not cancelled, and finds the sum of the first weights."""

    def __init__(self) -> None:
        self.cancelled, self.device = threading.Event(), "cpu"

    def __call__(self, generator: Generator, *, measured: bool) -> tuple[dict[str, float], bytes]:
        if self.cancelled.wait(0.5):
            raise CancelledEvaluation
        score = float(next(generator.parameters()).detach().double().sum())
        return ({SCORE: score} if measured else {}), b"grid"


@pytest.fixture
def players() -> Players:
    return build_players(small())


@pytest.fixture
def events() -> list[CheckpointWritten]:
    return []


@pytest.fixture
def checkpointer(tmp_path: Path, events: list[CheckpointWritten]) -> AsyncCheckpointer:
    store = CheckpointStore(RunFolder(str(tmp_path / "storage"), "run"))
    return AsyncCheckpointer(small(), store, SlowEvaluator(), events.append, tmp_path)  # pyright: ignore[reportArgumentType]


def test_what_is_kept_is_the_state_when_it_was_asked_for(
    checkpointer: AsyncCheckpointer, players: Players, events: list[CheckpointWritten]
) -> None:
    before, log = state_sha256(players.state()), [{"images_seen": 8, "metrics": {"loss/d": 1.0}}]

    checkpointer.save(players, Progress(step=1, images_seen=8), log, drawn=True, measured=True)
    with torch.no_grad():
        next(players.generator.parameters()).fill_(7.0)
    log.append({"images_seen": 16, "metrics": {"loss/d": 2.0}})
    checkpointer.wait()

    folder = Path(checkpointer.store.paths()[0])
    _, progress, state = load_checkpoint(folder)
    assert checkpointer.stalled < 0.4, "training waited for the evaluation"
    assert state_sha256(state) == before
    assert load_log(folder) == log[:1], "quality figures are part of the line, later lines are not"
    assert log[0]["metrics"]["quality/frechet_random"] == progress.frechet
    assert (events[0].images_seen, events[0].grid) == (8, b"grid")


def test_two_are_never_written_at_once(
    checkpointer: AsyncCheckpointer, players: Players, events: list[CheckpointWritten]
) -> None:
    for step in (1, 2):
        log = [{"images_seen": 8 * step, "metrics": {}}]
        checkpointer.save(players, Progress(step=step, images_seen=8 * step), log, drawn=True, measured=True)
        assert len(events) == step - 1
    checkpointer.wait()

    assert [event.images_seen for event in events] == [8, 16]
    assert checkpointer.stalled > 0.3


def test_a_refused_checkpoint_is_reported_and_the_next_is_tried(
    checkpointer: AsyncCheckpointer, players: Players, events: list[CheckpointWritten], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict, with_retries.__kwdefaults__), "patience_minutes", 0.0)
    in_the_way = Path(checkpointer.store.folder.path)
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("")

    checkpointer.save(players, Progress(step=1, images_seen=8), [], drawn=False, measured=False)
    checkpointer.wait()
    refusal = checkpointer.refusal
    in_the_way.unlink()
    checkpointer.save(players, Progress(step=2, images_seen=16), [], drawn=False, measured=False)
    checkpointer.wait()

    assert "at 8 images could not be kept" in refusal
    assert events[0].refusal == refusal
    assert checkpointer.refusal == ""
    assert len(checkpointer.store.paths()) == 1


def test_the_wish_to_leave_is_heard_while_the_checkpoint_before_is_being_evaluated(
    checkpointer: AsyncCheckpointer, players: Players
) -> None:
    for step in (1, 2):
        log = [{"images_seen": 8 * step, "metrics": {}}]
        checkpointer.save(
            players,
            Progress(step=step, images_seen=8 * step),
            log,
            drawn=True,
            measured=True,
            while_waiting=checkpointer.cancel_evaluation,
        )
    checkpointer.wait()

    assert len(checkpointer.store.paths()) == 2
    # Neither was evaluated: the first was given up when the second came, the second at once.
    assert not any(SCORE in load_log(Path(path))[-1]["metrics"] for path in checkpointer.store.paths())


def test_after_a_cancel_all_is_kept_at_once_and_quality_is_measured_by_the_next_start(
    checkpointer: AsyncCheckpointer, players: Players, events: list[CheckpointWritten]
) -> None:
    before = state_sha256(players.state())
    log = [{"images_seen": 8, "metrics": {"loss/d": 1.0}}]
    checkpointer.save(players, Progress(step=1, images_seen=8), log, drawn=True, measured=True)
    with torch.no_grad():
        next(players.generator.parameters()).fill_(7.0)
    began = time.monotonic()
    checkpointer.cancel_evaluation()
    log.append({"images_seen": 16, "metrics": {"loss/d": 2.0}})
    checkpointer.save(players, Progress(step=2, images_seen=16), log, drawn=False, measured=False)
    checkpointer.wait()
    seconds = time.monotonic() - began
    cancelled, scheduled = checkpointer.store.paths()

    after = AsyncCheckpointer(
        checkpointer.config,
        checkpointer.store,
        SlowEvaluator(),  # pyright: ignore[reportArgumentType]
        events.append,  # pyright: ignore[reportArgumentType]
        checkpointer.scratch,
    )
    resumed = load_log(Path(cancelled))
    after.evaluate_again(scheduled, resumed[:1])
    after.wait()

    assert seconds < 0.4
    assert SCORE not in resumed[1]["metrics"]
    first = next(path for path in checkpointer.store.paths() if path != cancelled)
    _, progress, state = load_checkpoint(Path(first))
    assert first != scheduled
    assert not Path(scheduled).exists(), "replaced"
    assert state_sha256(state) == before
    assert resumed[0]["metrics"][SCORE] == progress.frechet == load_log(Path(first))[0]["metrics"][SCORE]
    assert (events[-1].images_seen, events[-1].grid) == (8, b"grid")
