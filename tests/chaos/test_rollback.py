"""A non-finite loss: by policy the run goes back and on with fresh draws, and stays exactly repeatable."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs import fit
from dcgan_dist.runs.driver import run_training
from tests.chaos.conftest import check_exact, result_of
from tests.chaos.cost import Injected, Table
from tests.chaos.soak import Soak

pytestmark = pytest.mark.chaos


def poisoned(seed: int | None) -> Callable[[dict[str, Any]], None]:
    """`train_rank` in which step 25 gives NaN with draws of one seed (None: of any)."""

    def train_rank(arguments: dict[str, Any]) -> None:
        from dcgan_dist.runs import rank

        gan_step = rank.gan_step

        def poisoned_step(config: TrainConfig, *parts: Any, **more: Any) -> Any:
            step = gan_step(config, *parts, **more)

            def take(number: int, batch: Any) -> Any:
                seen = dict(step(number, batch))
                if number == 25 and seed in (None, config.seed):
                    seen["loss/d"] = seen["loss/d"] * float("nan")
                return seen

            return take

        rank.gan_step = poisoned_step
        try:
            rank.train_rank(arguments)
        finally:
            rank.gan_step = gan_step

    return train_rank


@pytest.fixture
def config(soak_config: Callable[..., TrainConfig]) -> Callable[..., TrainConfig]:
    def make(**changes: object) -> TrainConfig:
        return soak_config(60, checkpoint_every_images=160, hang_seconds=60.0, on_non_finite="rollback", **changes)

    return make


def test_the_run_goes_back_and_on_with_fresh_draws_the_same_after_a_kill(
    config: Callable[..., TrainConfig],
    session: str,
    monkeypatch: pytest.MonkeyPatch,
    table: Table,
) -> None:
    monkeypatch.setattr(fit, "train_rank", poisoned(seed=0))
    assert run_training(config()) == 0
    expected = result_of(config())

    again = config(run_name="again")
    soak = Soak(again, session, ["SIGKILL of a rank"], seed=3, steps=50)
    assert soak.run() == 0

    went_back = soak.events.all("rolled back")[-1]["images_seen"] // soak.events.batch
    row = Injected(
        fault="a non-finite loss, and a SIGKILL of a rank in the same run",
        steps_lost=25 - went_back,
        steps_allowed=soak.events.interval,
    )
    check_exact(again, expected, table, [row])
    assert expected["rollbacks"] == 1
    assert went_back == 20
    progress = json.loads((Path(expected["checkpoint"]) / "progress.json").read_text())
    assert progress["rollbacks"] == 1, "the checkpoint says which draws follow"


@pytest.mark.slow
def test_a_run_that_goes_back_too_often_stops_and_says_why(
    config: Callable[..., TrainConfig],
    ray_cluster: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fit, "train_rank", poisoned(seed=None))

    assert run_training(config(max_rollbacks=1, max_failures=0)) == 1

    assert "loss/d became nan in step 25 on rank 0" in caplog.text
    assert "went back 1 times already" in caplog.text
