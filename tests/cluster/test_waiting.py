"""A cluster that loses a node and gets none in its place: the run waits, says so, and gives up without losing anything."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import STEPS, is_exact, result_of
from tests.helpers.nodes import local_cluster, node_with_a_rank
from tests.helpers.training_job import TrainingJob

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def nodes() -> Iterator[Any]:
    """Two nodes of one CPU."""
    with local_cluster(2) as cluster:
        yield cluster


@pytest.mark.timeout(900)
def test_a_run_waits_for_a_node_gives_up_with_a_message_and_goes_on_with_the_same_command(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], nodes: Any
) -> None:
    expected, config = straight(STEPS), soak_config(placement_timeout=40.0, max_failures=1)
    with TrainingJob(config, environment={"RAY_ADDRESS": nodes.address}) as job:
        job.wait_for("| 320/")
        nodes.remove_node(node_with_a_rank(nodes), allow_graceful=False)
        assert job.end(200) == 1
        assert "waiting for 2 CPU (" in job.said
        assert "had no room for 2 ranks (2 CPU) within 40 s" in job.lines[-1]
        assert "the same command goes on from the last checkpoint" in job.lines[-1]
        assert result_of(config)["status"] == "FAILED"

    nodes.add_node(num_cpus=1)
    with TrainingJob(config, environment={"RAY_ADDRESS": nodes.address}) as again:
        assert again.end(300) == 0
    assert is_exact(config, expected)


@pytest.mark.timeout(900)
def test_a_node_that_comes_after_minutes_costs_no_more_than_the_loss(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], nodes: Any
) -> None:
    """Ray's own patience is a minute."""
    expected, config = straight(STEPS), soak_config(max_failures=1)
    with TrainingJob(config, environment={"RAY_ADDRESS": nodes.address}) as job:
        job.wait_for("| 320/")
        nodes.remove_node(node_with_a_rank(nodes), allow_graceful=False)
        job.wait_for("waiting for 2 CPU (1")
        time.sleep(75)
        nodes.add_node(num_cpus=1)
        assert job.end(300) == 0
        assert "lost" not in job.said, "Ray's controller was not given up"
    assert is_exact(config, expected)
