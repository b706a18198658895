"""Names of Ray that Ray does not promise to keep: each with what it is for and what breaks without; those of Ray Train apart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import ray
from ray._private import services
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state as cluster_state
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.core.generated import gcs_pb2
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import PlacementGroup, remove_placement_group

GroupTableData = gcs_pb2.PlacementGroupTableData  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, slots=True)
class ReservedGroup:
    """A placement group as the head's table describes it."""

    id: bytes
    placed: bool
    """Whether every bundle of it lies on a node that is there."""
    creator_dead: bool
    """Whether the actor that reserved it has died."""

    def remove(self) -> None:
        """Give back what the group reserved."""
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(self.id)))


def groups_of_this_job() -> list[ReservedGroup]:
    """Placement groups that this job's driver and actors reserved.

    The public `placement_group_table` lists the groups of every job, and tells neither the job nor whether the creator
    lives. Without this a run could not tell that it waits for nodes, and a run whose controller was killed would find its
    places taken by the dead one.

    Raises:
        RuntimeError or RayError: the head does not answer.
    """
    job, accessor = ray.get_runtime_context().get_job_id(), cluster_state._connect_and_get_accessor()
    groups = [GroupTableData.FromString(content) for content in accessor.get_placement_group_table()]
    return [
        ReservedGroup(
            group.placement_group_id,
            placed=group.state not in (GroupTableData.PENDING, GroupTableData.RESCHEDULING),
            creator_dead=group.creator_actor_dead,
        )
        for group in groups
        if group.creator_job_id.hex() == job
    ]


def declared_max_resources() -> dict[str, float] | None:
    """Amount by resource that the cluster may grow to, as its autoscaler's config says; None where it declares none.

    The public `cluster_resources` knows only the nodes that are there. Without this a run that the cluster could grow
    for would be refused, or one that it can never hold would wait until `placement_timeout`.
    """
    declared = cluster_state.get_max_resources_from_cluster_config()
    return None if declared is None else {name: float(amount) for name, amount in declared.items()}


def autoscaler_node_types() -> list[str]:
    """Types of the nodes that are there, as the autoscaler calls them; empty before its first report.

    The public `nodes` does not know types. Without them a head that waits alone for its first job would pass for a
    machine of its own: nobody would check that it asks for a token.
    """
    if is_autoscaler_v2(fetch_from_server=True):  # what `ray up` starts, and KubeRay where it is asked to
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}").get("autoscaler_report") or {}
    return list(report.get("active_nodes") or {})


@contextmanager
def own_process_groups() -> Iterator[None]:
    """Start Ray's processes inside the `with` in process groups of their own.

    Ray leaves them in the driver's. Without this a signal to that group, which is what `timeout` sends, would end Ray
    before the driver has kept a checkpoint.
    """
    popen = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        services.ConsolePopen = popen
