"""What a run needs of its cluster, what the cluster can give, and waiting for it."""

import logging
import re
import time

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group

from dcgan_dist.cluster.ray_internals import autoscaler_node_types, declared_max_resources, groups_of_this_job
from dcgan_dist.config import TrainConfig
from dcgan_dist.errors import InputError

_log = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 15.0
AUTOSCALER_SECONDS = 10.0  # it reports every 5


def rank_resources(config: TrainConfig) -> dict[str, float]:
    """Amount by name of resource that one rank needs: a CPU, and with `use_gpu` a GPU."""
    return {"CPU": 1.0} | ({"GPU": 1.0} if config.use_gpu else {})


def wait_for_ranks(config: TrainConfig) -> None:
    """Return when the cluster has capacity for the least number of ranks.

    Raises:
        InputError: the cluster can never have it, or did not have it within `placement_timeout`.
    """
    ranks, resources = config.workers[0], rank_resources(config)
    if (largest := max_resources()) is not None:
        for name, amount in resources.items():
            if ranks * amount > largest.get(name, 0):
                raise InputError(
                    f"{ranks} ranks need {_needs(config)}, but the cluster can have at most {largest.get(name, 0):g} {name}: "
                    "lower `num_workers`" + (", leave out `use_gpu`" if name == "GPU" else "") + " or add nodes"
                )

    group = placement_group([resources] * ranks, strategy="PACK")
    try:
        monitor = CapacityMonitor(config)
        while not group.wait(1):
            if refusal := monitor.refusal(lacking=True):
                raise InputError(refusal)
    finally:
        remove_placement_group(group)


class CapacityMonitor:
    """Logs now and then that ranks wait for capacity on the cluster, and tells when `placement_timeout` is over."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._began = self._logged = time.monotonic()

    def refusal(self, *, lacking: bool) -> str:
        """Message that says why not to wait any longer; empty while there is time left.

        Args:
            lacking: whether ranks lack capacity now; the time counts from the last call at which they did not.
        """
        now = time.monotonic()
        if not lacking:
            self._began = self._logged = now
        waited, limit = now - self._began, self.config.placement_timeout
        if waited > limit:
            return (
                f"the cluster had no room for {self.config.workers[0]} ranks ({_needs(self.config)}) within {limit:g} s: "
                "lower `num_workers`, wait for other jobs, or raise `placement_timeout`"
            )
        if now - self._logged > LOG_EVERY_SECONDS:
            self._logged = now
            _log.info("waiting for %s (%.0f of at most %.0f s)", _needs(self.config), waited, limit)
        return ""


def _needs(config: TrainConfig) -> str:
    return ", ".join(f"{config.workers[0] * amount:g} {name}" for name, amount in rank_resources(config).items())


def lacks_capacity() -> bool:
    """Whether this job has reserved something that the cluster does not have yet, or has lost; False if the head is silent."""
    try:
        return not all(group.placed for group in groups_of_this_job())
    except (RuntimeError, RayError):
        return False


def max_resources() -> dict[str, float] | None:
    """The most the cluster can ever have: what its autoscaler declares, else what its live nodes have.

    None where an autoscaler is at work but has not declared its maximum.
    """
    declared = declared_max_resources()
    alive = {name: float(amount) for name, amount in ray.cluster_resources().items()}
    if declared is None:
        return None if _autoscaling() else alive
    return {name: max(declared.get(name, 0.0), alive.get(name, 0.0)) for name in declared.keys() | alive.keys()}


def can_grow() -> bool:
    """Whether nodes may join that are not there yet, as in a cluster that waits for its first job with a head alone."""
    until = time.monotonic() + AUTOSCALER_SECONDS
    while not autoscaler_node_types() and time.monotonic() < until:  # a head that has just started has not reported yet
        time.sleep(0.5)
    return declared_max_resources() is not None or _autoscaling()


def _autoscaling() -> bool:
    """Whether an autoscaler, of either version, can add nodes to this cluster.

    Every head runs one; without a config it only watches, and then calls each node a type of its own.
    """
    return any(not re.fullmatch(r"node_[0-9a-f]+", name) for name in autoscaler_node_types())


def release_abandoned_groups() -> None:
    """Give back what actors of this job reserved that have died since; else the next controller would find no capacity."""
    for group in groups_of_this_job():
        if group.creator_dead:
            group.remove()
