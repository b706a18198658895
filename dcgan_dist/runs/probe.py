"""--plan of a training run: the plan, and what 20 real steps of one rank say about all of it."""

import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError

from dcgan_dist.cluster.capacity import rank_resources, wait_for_ranks
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.config import TrainConfig
from dcgan_dist.data.device import to_device
from dcgan_dist.errors import InputError, require
from dcgan_dist.runs.estimate import describe, outlook
from dcgan_dist.runs.plan import RunPlan, plan_run, run_batches
from dcgan_dist.runs.rank import set_up_process
from dcgan_dist.runs.rank_precision import decide_precision, nodes_are_fast
from dcgan_dist.training.gan import gan_step
from dcgan_dist.training.players import build_players

PROBE_STEPS = 20
WARM_UP_STEPS = 3

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What the steps took."""

    seconds_per_step: float
    rows: int
    """Real images of a step on this rank."""
    device: str


def plan_with_probe(plan: RunPlan) -> int:
    """Log the plan, what is started, and what it measured; writes nothing.

    Returns:
        Exit code 0.

    Raises:
        InputError: the cluster has no room for one rank, or its node no GPU that torch sees.
    """
    config, wanted = plan.config, rank_resources(plan.config)
    ranks = config.workers[1]
    _log.info("%s", describe(plan))
    _log.info(
        "starting: %d steps of one rank on %s, on the cluster that RAY_ADDRESS names, else on a Ray of its own on this "
        "machine, which ends with this command",
        PROBE_STEPS,
        ", ".join(f"{amount:g} {name}" for name, amount in wanted.items()),
    )
    single = plan_run(one_rank(config))
    join_cluster(verbose=config.verbose)
    wait_for_ranks(single.config)
    single = dataclasses.replace(single, precision=decide_precision(config, nodes_are_fast))
    task = ray.remote(probe_rank).options(num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0))
    try:
        probe: Probe = ray.get(task.remote(single, ranks_on_node(ranks, wanted, ray.nodes())))
    except RayTaskError as error:
        # What Ray raises is a class of its own that only inherits InputError.
        if isinstance(error.cause, InputError):
            raise InputError(str(error.cause)) from error
        raise
    spread = f"; all of it is spread over {ranks} ranks, without the time that they wait for each other"
    _log.info(
        "probe: %.1f ms per step of %d images on one rank (%s), reading included%s",
        probe.seconds_per_step * 1e3,
        probe.rows,
        probe.device,
        spread if ranks > 1 else "",
    )
    for line in outlook(plan, config.data.batch_size / probe.seconds_per_step):
        _log.info("  %s", line)
    _log.info("nothing was written")
    return 0


def ranks_on_node(ranks: int, wanted: Mapping[str, float], nodes: Iterable[Mapping[str, Any]]) -> int:
    """Ranks that would share a node if they were spread evenly; a head that only leads holds none.

    Args:
        ranks: of the run.
        wanted: by one rank.
        nodes: as `ray.nodes()` tells of them.
    """
    able = sum(
        bool(node["Alive"]) and all(node["Resources"].get(name, 0) >= amount for name, amount in wanted.items())
        for node in nodes
    )
    return -(-ranks // max(1, able))


def one_rank(config: TrainConfig) -> TrainConfig:
    """The same run with the rows of its largest rank alone."""
    rows = max(2, -(-config.data.batch_size // config.workers[1]))
    data = dataclasses.replace(config.data, batch_size=rows, streams=0)
    return dataclasses.replace(config, data=data, num_workers="1", norm_group="rank")


def probe_rank(plan: RunPlan, ranks_on_node: int) -> Probe:
    """Take steps on real batches; no group of ranks, no checkpoint, nothing written.

    Args:
        plan: of a run with one rank.
        ranks_on_node: that would share this node's cores.

    Raises:
        InputError: a GPU was asked for, and torch sees none.
    """
    config = plan.rank_config
    require(
        not config.use_gpu or torch.cuda.is_available(),
        "`use_gpu`, but torch sees no GPU on the node of the probe: python -m dcgan_dist.doctor there says why",
    )
    device = torch.device("cuda" if config.use_gpu else "cpu")
    set_up_process(config, device, ranks_on_node=ranks_on_node)
    players = build_players(config, device=device)
    rows = plan.shard_plan.rows(0, 1).tolist()
    step = gan_step(config, players, rows=rows, world_size=1, steps_per_epoch=plan.shard_plan.steps_per_epoch)
    began = 0.0
    with closing(to_device(run_batches(plan), device)) as batches:
        for number in range(WARM_UP_STEPS + PROBE_STEPS):
            if number == WARM_UP_STEPS:
                began = time.perf_counter()
            losses = step(number, next(batches))
            next(iter(losses.values())).item()  # waits for the device
    seconds = (time.perf_counter() - began) / PROBE_STEPS
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return Probe(seconds_per_step=seconds, rows=len(rows), device=name)
