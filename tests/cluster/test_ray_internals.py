"""Names of Ray that a new version may change: each test says what breaks when it does."""

import ast
import re
from pathlib import Path

import pytest
import ray
import ray.train
from ray.util.placement_group import placement_group, remove_placement_group

from dcgan_dist.cluster.capacity import max_resources
from dcgan_dist.cluster.ray_internals import (
    ReservedGroup,
    autoscaler_node_types,
    declared_max_resources,
    groups_of_this_job,
)
from tests.helpers.autoscaling import autoscaling_head
from tests.helpers.head import run_client
from tests.helpers.processes import wait_until


def test_a_run_can_tell_that_it_waits_for_nodes(ray_cluster: str) -> None:
    """Otherwise `placement_timeout` never ends the wait for a node that does not come."""
    group = placement_group([{"CPU": 1.0}] * 99)
    try:
        (reserved,) = [entry for entry in groups_of_this_job() if entry.id == group.id.binary()]
        assert not reserved.placed
    finally:
        remove_placement_group(group)


def test_groups_of_a_dead_controller_can_be_given_back(ray_cluster: str) -> None:
    """Otherwise a run whose controller was killed waits for CPUs that the dead one still holds."""

    @ray.remote(num_cpus=0)
    class Controller:
        def reserve(self) -> bytes:
            self.group = placement_group([{"CPU": 1.0}])
            return self.group.id.binary()

    controller = Controller.remote()
    number = ray.get(controller.reserve.remote())

    def group() -> ReservedGroup:
        return next(entry for entry in groups_of_this_job() if entry.id == number)

    wait_until(lambda: group().placed)
    assert not group().creator_dead
    ray.kill(controller)  # pyright: ignore[reportArgumentType]
    wait_until(lambda: group().creator_dead)
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"] - 1

    group().remove()

    wait_until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])


def test_a_machine_of_its_own_declares_no_growth(ray_cluster: str) -> None:
    """Otherwise every job on a laptop would be refused for want of a token."""
    assert declared_max_resources() is None
    assert all(re.fullmatch(r"node_[0-9a-f]+", name) for name in autoscaler_node_types())


def test_what_a_cluster_may_grow_to_is_read(ray_cluster: str) -> None:
    """Otherwise a run that the cluster could grow for is refused for want of nodes."""
    from ray import _raylet
    from ray.core.generated import autoscaler_pb2
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

    key: bytes = _raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY  # pyright: ignore[reportAttributeAccessIssue]
    namespace: bytes = _raylet.GCS_AUTOSCALER_STATE_NAMESPACE  # pyright: ignore[reportAttributeAccessIssue]
    node_type = autoscaler_pb2.NodeGroupConfig(  # pyright: ignore[reportAttributeAccessIssue]
        name="worker", resources={"CPU": 4, "GPU": 1}, max_count=3
    )
    config = autoscaler_pb2.ClusterConfig(node_group_configs=[node_type])  # pyright: ignore[reportAttributeAccessIssue]
    _internal_kv_put(key, config.SerializeToString(), namespace=namespace)
    try:
        assert declared_max_resources() == {"CPU": 12.0, "GPU": 3.0}
        assert max_resources() == {**ray.cluster_resources(), "CPU": 12.0, "GPU": 3.0}
    finally:
        _internal_kv_del(key, namespace=namespace)


NODE_TYPES = """
import ray, time
ray.init()
from dcgan_dist.cluster.ray_internals import autoscaler_node_types
until = time.monotonic() + 20
while not autoscaler_node_types() and time.monotonic() < until:
    time.sleep(0.2)
print(autoscaler_node_types())
"""


@pytest.mark.slow  # test_security holds what depends on it: such a head alone is refused without a token
@pytest.mark.parametrize("version", [1, 2])
def test_an_autoscaler_names_the_type_of_a_head_that_waits_alone(version: int) -> None:
    """Otherwise nobody asks such a head for its token: no other node is there when the job looks."""
    with autoscaling_head(most=2, idle_seconds=60, version=version) as head:
        done = run_client(head, NODE_TYPES)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['ray.head.default']"


PRIVATE = re.compile(
    r"^ray\.(.*\.)?(_[a-z]|\w+_pb2)|^ray\.(autoscaler|core|experimental)\b|_internal_kv|_TorchBackend", re.I
)


def test_no_other_file_of_the_package_uses_private_names_of_ray(repository: Path) -> None:
    wrong = []
    for path in [*(repository / "dcgan_dist").rglob("*.py"), *(repository / "jobs").glob("*.py")]:
        if path.name in ("ray_internals.py", "ray_train_internals.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            wrong += [f"{path.relative_to(repository)}: {name}" for name in names if PRIVATE.search(name)]

    assert not wrong, "\n".join(wrong)
    assert PRIVATE.search("ray.train.torch.config._TorchBackend")
    assert not PRIVATE.search("ray.__version__")
