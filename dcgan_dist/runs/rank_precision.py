"""What `engine.precision` auto means for a run: decided once, at its first start, and kept wherever it goes on."""

import logging

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dcgan_dist.config import TrainConfig
from dcgan_dist.training.engine import precision

_log = logging.getLogger(__name__)

INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""A CPU that has one of these multiplies bfloat16 faster than float32."""


def decide_precision(config: TrainConfig) -> str:
    """float32, tf32 or bfloat16 for all ranks of a run that begins, on a cluster that was joined.

    Ranks on CPUs compute in bfloat16 only where every node that could hold one is fast at it, and not where results are to be
    deterministic. Nodes that join later, without such instructions, are slower and compute the same.
    """
    device = torch.device("cuda" if config.use_gpu else "cpu")
    decided = precision(config, device)
    if config.engine.precision != "auto" or decided != "float32" or config.dtype != "float32" or config.deterministic:
        return decided
    if not all(_fast_nodes()):
        return decided
    _log.info("computing in bfloat16, at which the CPUs here are fast (`engine.precision=float32` leaves it)")
    return "bfloat16"


def fast_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for products of bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in INSTRUCTIONS)


def _fast_nodes() -> list[bool]:
    """`fast_bfloat16` of every node that has CPUs to give."""
    here = ray.get_runtime_context().get_node_id()
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    task = ray.remote(num_cpus=0)(fast_bfloat16)
    others = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in nodes
        if node != here
    ]
    return [fast_bfloat16() for node in nodes if node == here] + ray.get(others)
