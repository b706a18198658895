"""What `engine.precision` auto means for a run: decided once, at its first start, and kept wherever it goes on."""

from collections.abc import Callable
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dcgan_dist.config import TrainConfig, from_dict
from dcgan_dist.errors import require
from dcgan_dist.training.engine import precision

INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""A CPU that has one of these multiplies bfloat16 faster than float32."""

ANSWER_SECONDS = 60.0


def decide_precision(config: TrainConfig, is_fast: Callable[[], bool]) -> str:
    """float32, tf32 or bfloat16 for all ranks of a run that begins.

    Ranks on CPUs compute in bfloat16 only where all nodes are fast at it, and not where results are to be deterministic. Nodes that
    join later, without such instructions, are slower and compute in the same precision.

    Args:
        config: of the run.
        is_fast: `nodes_are_fast`, or `fast_bfloat16` for a run on this machine.
    """
    decided = precision(config, torch.device("cuda" if config.use_gpu else "cpu"))
    asked = config.engine.precision == "auto" and decided == config.dtype == "float32" and not config.deterministic
    return "bfloat16" if asked and is_fast() else decided


def recorded_precision(config: dict[str, Any], decided: str = "") -> str:
    """The precision of a run or checkpoint that was begun elsewhere: what was decided, or what its config meant on its device.

    Args:
        config: as run.json or a checkpoint has it.
        decided: what run.json says; versions that decided nothing computed by the device.

    Raises:
        InputError: an unknown precision.
    """
    begun = from_dict(TrainConfig, config)
    computed = decided or precision(begun, torch.device("cuda" if begun.use_gpu else "cpu"))
    require(computed in ("float32", "tf32", "bfloat16"), f"the run was computed in {computed!r}, which is unknown")
    return computed


def fast_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for products of bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in INSTRUCTIONS)


def nodes_are_fast() -> bool:
    """Whether `fast_bfloat16` holds on every node that has CPUs, of a cluster that was joined; no for one that does not answer."""
    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    if here in nodes and not fast_bfloat16():
        return False
    task = ray.remote(num_cpus=0)(fast_bfloat16)
    others = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in nodes - {here}
    ]
    if not others:
        return True
    answers, silent = ray.wait(others, num_returns=len(others), timeout=ANSWER_SECONDS)
    try:
        return not silent and all(ray.get(answers))
    except RayError:  # a node that went just now, or that has not this package
        return False
