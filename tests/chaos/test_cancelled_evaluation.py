"""A run that must leave while samples are being judged leaves at once; the next start makes up for it, and nothing is missing."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs import fit
from dcgan_dist.runs.async_checkpointer import SCORE
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.driver import run_training
from dcgan_dist.training.whole_checkpoint import load_log
from tests.chaos.conftest import SHORT, check_exact, nothing_left
from tests.chaos.cost import Events, Heard, Table
from tests.helpers.logs import listening

pytestmark = [pytest.mark.chaos, pytest.mark.slow]  # tests/runs/test_async_checkpointer.py holds the steps of it

SECONDS_A_BATCH = 10
BATCHES = 2 + 4  # of the figures and of the grid


def judging_slowly(while_exists: str) -> Callable[[dict[str, Any]], None]:
    """`train_rank` whose judge takes ten seconds for each batch of samples as long as a file exists."""

    def train_rank(arguments: dict[str, Any]) -> None:
        from dcgan_dist.runs import rank
        from dcgan_dist.runs import sample_evaluator as samples

        batches = samples.sample_batches

        def slow_batches(*parts: Any, **more: Any) -> Any:
            for batch in batches(*parts, **more):
                if Path(while_exists).exists():
                    time.sleep(SECONDS_A_BATCH)
                yield batch

        samples.sample_batches = slow_batches
        try:
            rank.train_rank(arguments)
        finally:
            samples.sample_batches = batches

    return train_rank


@pytest.mark.timeout(600)
def test_sigterm_while_samples_are_judged_commits_soon_and_the_figures_are_measured_later(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    session: str,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, config, slow = straight(SHORT), soak_config(SHORT, hang_seconds=120.0), tmp_path / "slow"
    events, sent = Events(config), []
    heard = Heard(events.steps_per_epoch)
    monkeypatch.setattr(fit, "train_rank", judging_slowly(str(slow)))

    def terminate() -> None:
        while heard.step < 105:  # past step 100, so that the next checkpoint, and the one after it, are 20 steps apart
            time.sleep(0.02)
        slow.touch()
        begun = events.wait_for("checkpoint begun", time.time())
        while heard.step * events.batch <= begun["images_seen"]:  # so that there is something newer to commit
            time.sleep(0.02)
        sent.extend([time.time(), begun["images_seen"]])
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # else the run is over, and it would end the tests
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    with listening(heard):
        assert run_training(config) == 143

    ended = time.time()
    time.sleep(1)
    assert "cluster" not in {thread.name for thread in threading.enumerate()}, "the end of Ray would end this process"
    slow.unlink()
    before, judged = sent
    newest = load_log(Path(CheckpointStore(events.folder).paths()[0]))
    assert ended - before < SECONDS_A_BATCH * BATCHES * 0.8, "it left before the judge would have been done"
    assert newest[-1]["images_seen"] > judged
    assert next(SCORE not in line["metrics"] for line in newest if line["images_seen"] == judged)

    step = heard.step
    with listening(heard):
        assert run_training(config) == 0
    row = events.cost("SIGTERM of the driver while samples are judged", before, lambda: step)
    check_exact(config, expected, table, [row])  # so the log lacks no figure
    assert row.steps_lost == 0
    nothing_left(session, Path(events.folder.path))
