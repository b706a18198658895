"""Nodes of a cluster are announced for preemption, or vanish: ranks go on elsewhere."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import STEPS, check_exact, result_of
from tests.chaos.cost import Events, Table, heard
from tests.helpers.nodes import local_cluster, node_with_a_rank
from tests.helpers.training_job import TrainingJob

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_a_preempted_node_and_a_lost_one_change_nothing(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    table: Table,
) -> None:
    expected, config = straight(STEPS), soak_config()
    events, environment = Events(config), {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "1"}
    with local_cluster(3) as cluster:
        environment["RAY_ADDRESS"] = cluster.address

        def reached() -> int:
            return heard(job.lines, events.steps_per_epoch).reached[-1]

        with TrainingJob(config, environment=environment) as job:
            job.wait_for(events.line_of(20))
            node = node_with_a_rank(cluster)
            before = time.time()
            deadline = drain(cluster, node, seconds=30)
            job.wait_for("ranks left with a checkpoint")
            left_in_time = time.time() < deadline
            cluster.remove_node(node, allow_graceful=False)
            preempted = events.cost("node announced for preemption, then removed", before, reached)
            cluster.add_node(num_cpus=1)
            time.sleep(5)
            before = time.time()
            cluster.remove_node(node_with_a_rank(cluster), allow_graceful=False)
            lost = events.cost("node lost without notice", before, reached)
            assert job.end(300) == 0
            assert job.left_behind() == []

    check_exact(config, expected, table, [preempted, lost])
    assert left_in_time
    assert result_of(config)["preemptions"] == 1, "counted apart from failures"
    assert len(events.all("ranks started")) == 3
    assert preempted.steps_lost == 0


def drain(cluster: Any, node: Any, *, seconds: float) -> float:
    """Announce that a node is taken away in so many seconds, as a cloud does; returns when, in seconds since 1970."""
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
    from ray.core.generated import autoscaler_pb2

    reasons = autoscaler_pb2.DrainNodeReason  # pyright: ignore[reportAttributeAccessIssue]
    deadline = time.time() + seconds
    reason = reasons.Value("DRAIN_NODE_REASON_PREEMPTION")
    GcsClient(address=cluster.address).drain_node(node.node_id, reason, "taken away", int(deadline * 1000))
    return deadline
