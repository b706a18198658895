"""Joining a Ray cluster, and finding out whether it can ever hold the ranks."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable

import psutil
import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.state import state as cluster_state
from ray.core.generated import gcs_pb2
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from dcgan_dist.config import InputError, TrainConfig
from dcgan_dist.launch.security import accepted_risks, refuse_risks, security_checks

SAY_EVERY_SECONDS = 15.0


def join_cluster(*, verbose: bool = False) -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job has it), else start a Ray of its own on this machine.

    Without an address Ray would look for any cluster on this machine, and could join a stranger's.

    Args:
        verbose: show what Ray and its processes log.

    Raises:
        InputError: the cluster has other machines and is open to strangers, a risk that --accept-risk did not name.
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
    if not is_remote(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]):
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
    wanted = ", ".join(f"{ranks * amount:g} {name}" for name, amount in resources.items())
    if (most := most_resources()) is not None:
        for name, amount in resources.items():
            if ranks * amount > most.get(name, 0):
                raise InputError(
                    f"{ranks} ranks need {wanted}, but the cluster can have at most {most.get(name, 0):g} {name}: "
                    f"lower --num-workers" + (", leave out --use-gpu" if name == "GPU" else "") + " or add nodes"
                )

    group = placement_group([resources] * ranks, strategy="PACK")
    try:
        began = said = time.monotonic()
        while not group.wait(1):
            waited = time.monotonic() - began
            if waited > config.placement_timeout:
                raise InputError(
                    f"the cluster had no room for {ranks} ranks ({wanted}) within {config.placement_timeout:g} s: "
                    "lower --num-workers, wait for other jobs, or raise --placement-timeout"
                )
            if time.monotonic() - said > SAY_EVERY_SECONDS:
                said = time.monotonic()
                say(f"waiting for {wanted} ({waited:.0f} of at most {config.placement_timeout:.0f} s)")
    finally:
        remove_placement_group(group)


def most_resources() -> dict[str, float] | None:
    """The most the cluster can ever have: what its autoscaler declares, else what its live nodes have.

    None where an autoscaler is at work but has not declared its maximum.
    """
    declared = cluster_state.get_max_resources_from_cluster_config()
    alive = {name: float(amount) for name, amount in ray.cluster_resources().items()}
    if declared is None:
        return None if _autoscaling() else alive
    return {name: max(float(declared.get(name, 0)), alive.get(name, 0.0)) for name in declared.keys() | alive.keys()}


def _autoscaling() -> bool:
    """Whether an autoscaler can add nodes to this cluster.

    Every head runs one; without a config it only watches, and then calls each node a type of its own.
    """
    status = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    nodes = (status.get("autoscaler_report") or {}).get("active_nodes") or {}
    return any(not re.fullmatch(r"node_[0-9a-f]+", name) for name in nodes)


def free_groups_of_the_dead() -> None:
    """Give back what actors of this job reserved that have died since.

    Ray's own cleaner does so only where a dashboard runs; without it the next controller would find no room.
    """
    job, accessor = ray.get_runtime_context().get_job_id(), cluster_state._connect_and_get_accessor()
    for content in accessor.get_placement_group_table():
        group = gcs_pb2.PlacementGroupTableData.FromString(content)  # pyright: ignore[reportAttributeAccessIssue]
        if group.creator_job_id.hex() == job and group.creator_actor_dead:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
