"""Nodes of a cluster are announced for preemption, or vanish: ranks go on elsewhere."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.launch.journal import JOURNAL
from dcgan_dist.launch.run_folder import RunFolder
from tests.chaos.conftest import STEPS, result_of
from tests.helpers.processes import RANK
from tests.helpers.training_job import TrainingJob

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and two more nodes of one CPU each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def node_with_a_rank(cluster: Any) -> Any:
    """A node other than the head on which a rank runs."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for node in cluster.list_all_nodes():
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            names = [" ".join(child.cmdline()) for child in raylet.children()]
            if node is not cluster.head_node and any(RANK in name for name in names):
                return node
        time.sleep(0.2)
    raise AssertionError("no rank outside the head")


@pytest.mark.timeout(900)
def test_a_preempted_node_and_a_lost_one_change_nothing(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], cluster: Any
) -> None:
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
    from ray.core.generated import autoscaler_pb2

    expected, config = straight(STEPS), soak_config()
    home = Path(tempfile.mkdtemp(prefix="dn", dir="/tmp"))
    job = TrainingJob(config, home, {"RAY_ADDRESS": cluster.address})
    try:
        job.wait_for("| 320/")
        node = node_with_a_rank(cluster)
        reasons = autoscaler_pb2.DrainNodeReason  # pyright: ignore[reportAttributeAccessIssue]
        reason = reasons.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = int((time.time() + 30) * 1000)
        GcsClient(address=cluster.address).drain_node(node.node_id, reason, "taken away", deadline)
        job.wait_for("ranks left with a checkpoint")
        left_in_time = time.time() * 1000 < deadline
        cluster.remove_node(node, allow_graceful=False)
        job.wait_for("goes on from")
        cluster.add_node(num_cpus=1)
        time.sleep(5)
        cluster.remove_node(node_with_a_rank(cluster), allow_graceful=False)
        assert job.end(300) == 0
    finally:
        job.kill()
        shutil.rmtree(home, ignore_errors=True)

    seen = result_of(config)
    events = [one["event"] for one in (RunFolder(config.storage, config.run_name).read_json(JOURNAL) or {})["events"]]
    assert left_in_time
    assert seen["preemptions"] == 1, "counted apart from failures"
    assert events.count("ranks started") == 3
    assert seen["sha256_with_log"] == expected["sha256_with_log"]
