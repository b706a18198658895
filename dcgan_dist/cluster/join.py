"""Joining a Ray cluster, and finding out whether it can ever hold the ranks."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil
import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state as cluster_state
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.core.generated import gcs_pb2
from ray.exceptions import RayError
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from dcgan_dist.cluster.security import accepted_risks, refuse_risks, security_checks
from dcgan_dist.config import TrainConfig
from dcgan_dist.errors import InputError

SAY_EVERY_SECONDS = 15.0
AUTOSCALER_SECONDS = 10.0  # it reports every 5
GroupTableData = gcs_pb2.PlacementGroupTableData  # pyright: ignore[reportAttributeAccessIssue]
WITHOUT_ROOM = (GroupTableData.PENDING, GroupTableData.RESCHEDULING)


def join_cluster(*, verbose: bool = False) -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job has it), else start a Ray of its own on this machine.

    Without an address Ray would look for any cluster on this machine, and could join a stranger's.

    Args:
        verbose: show what Ray and its processes log.

    Raises:
        InputError: the cluster has other machines, or can get some, and is open to strangers, a risk that --accept-risk did not
            name.
    """
    if ray.is_initialized():
        return
    accepted = accepted_risks()
    context = ray.init(
        address=os.environ.get("RAY_ADDRESS") or "local",
        log_to_driver=verbose,
        configure_logging=verbose,
        include_dashboard=False if not os.environ.get("RAY_ADDRESS") else None,
    )
    if not (is_remote(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]) or can_grow()):
        return
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    try:
        refuse_risks(security_checks(ray.__version__, dashboard), accepted)
    except InputError:
        ray.shutdown()
        raise


def is_remote(addresses: Iterable[str]) -> bool:
    """Whether any of the addresses (host names or numbers) is another machine's."""
    own = {one.address.partition("%")[0] for of_card in psutil.net_if_addrs().values() for one in of_card}
    return any(address not in own and not address.startswith("127.") for address in addresses)


def rank_resources(config: TrainConfig) -> dict[str, float]:
    """What one rank asks of the cluster."""
    return {"CPU": 1.0} | ({"GPU": 1.0} if config.use_gpu else {})


def wait_for_ranks(config: TrainConfig, say: Callable[[str], None]) -> None:
    """Return when the cluster has room for the least number of ranks.

    Raises:
        InputError: the cluster can never have it, or did not have it within `placement_timeout`.
    """
    ranks, resources = config.workers[0], rank_resources(config)
    if (most := most_resources()) is not None:
        for name, amount in resources.items():
            if ranks * amount > most.get(name, 0):
                raise InputError(
                    f"{ranks} ranks need {_wanted(config)}, but the cluster can have at most {most.get(name, 0):g} {name}: "
                    "lower `num_workers`" + (", leave out `use_gpu`" if name == "GPU" else "") + " or add nodes"
                )

    group = placement_group([resources] * ranks, strategy="PACK")
    try:
        room = CapacityMonitor(config, say)
        while not group.wait(1):
            if refusal := room.refusal(wanting=True):
                raise InputError(refusal)
    finally:
        remove_placement_group(group)


class CapacityMonitor:
    """Says now and then that ranks wait for room on the cluster, and after `placement_timeout` that there was none."""

    def __init__(self, config: TrainConfig, say: Callable[[str], None]) -> None:
        self.config, self.say = config, say
        self._began = self._said = time.monotonic()

    def refusal(self, *, wanting: bool) -> str:
        """Why not to wait any longer; empty while there is patience left.

        Args:
            wanting: whether ranks wait now; the time counts from the last call at which they did not.
        """
        now = time.monotonic()
        if not wanting:
            self._began = self._said = now
        waited, limit = now - self._began, self.config.placement_timeout
        if waited > limit:
            return (
                f"the cluster had no room for {self.config.workers[0]} ranks ({_wanted(self.config)}) within {limit:g} s: "
                "lower `num_workers`, wait for other jobs, or raise `placement_timeout`"
            )
        if now - self._said > SAY_EVERY_SECONDS:
            self._said = now
            self.say(f"waiting for {_wanted(self.config)} ({waited:.0f} of at most {limit:.0f} s)")
        return ""


def _wanted(config: TrainConfig) -> str:
    return ", ".join(f"{config.workers[0] * amount:g} {name}" for name, amount in rank_resources(config).items())


def ranks_want_room() -> bool:
    """Whether this job has reserved something that the cluster does not have yet, or has lost; False where it cannot be told."""
    try:
        groups = _groups_of_this_job()
    except (RuntimeError, RayError):
        return False  # the head does not answer now
    return any(group.state in WITHOUT_ROOM for group in groups)


def most_resources() -> dict[str, float] | None:
    """The most the cluster can ever have: what its autoscaler declares, else what its live nodes have.

    None where an autoscaler is at work but has not declared its maximum.
    """
    declared = cluster_state.get_max_resources_from_cluster_config()
    alive = {name: float(amount) for name, amount in ray.cluster_resources().items()}
    if declared is None:
        return None if _autoscaling() else alive
    return {name: max(float(declared.get(name, 0)), alive.get(name, 0.0)) for name in declared.keys() | alive.keys()}


def can_grow() -> bool:
    """Whether nodes may join that are not there yet, as in a cluster that waits for its first job with a head alone."""
    until = time.monotonic() + AUTOSCALER_SECONDS
    while not _node_types() and time.monotonic() < until:  # a head that has just started has not said it yet
        time.sleep(0.5)
    return cluster_state.get_max_resources_from_cluster_config() is not None or _autoscaling()


def _autoscaling() -> bool:
    """Whether an autoscaler, of either version, can add nodes to this cluster.

    Every head runs one; without a config it only watches, and then calls each node a type of its own.
    """
    return any(not re.fullmatch(r"node_[0-9a-f]+", name) for name in _node_types())


def _node_types() -> list[str]:
    """Types of the nodes that are there, as the autoscaler calls them; empty before its first report."""
    if is_autoscaler_v2(fetch_from_server=True):  # what `ray up` starts, and KubeRay where it is asked to
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}").get("autoscaler_report") or {}
    return list(report.get("active_nodes") or {})


def free_groups_of_the_dead() -> None:
    """Give back what actors of this job reserved that have died since.

    Ray's own cleaner does so only where a dashboard runs; without it the next controller would find no room.
    """
    for group in _groups_of_this_job():
        if group.creator_actor_dead:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))


def _groups_of_this_job() -> list[Any]:
    """What actors of this job reserved, as the cluster's table has it."""
    job, accessor = ray.get_runtime_context().get_job_id(), cluster_state._connect_and_get_accessor()
    groups = [GroupTableData.FromString(content) for content in accessor.get_placement_group_table()]
    return [group for group in groups if group.creator_job_id.hex() == job]
