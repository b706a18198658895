"""Handing a run to Ray Train."""

import os
from typing import Any

import ray
import ray.train

from dcgan_dist.cluster.capacity import rank_resources
from dcgan_dist.cluster.in_thread import InThread
from dcgan_dist.cluster.process_group import ReachableRanks
from dcgan_dist.cluster.ray_train_internals import LeanTorchTrainer
from dcgan_dist.runs.hanging_ranks import SAVE_SECONDS
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.rank import train_rank
from dcgan_dist.storage.filesystems import as_pyarrow
from dcgan_dist.storage.run_folder import RunFolder


def start_fit(plan: RunPlan, folder: RunFolder, queue: Any) -> InThread:
    """Begin to train with the ranks the config asks for; Ray restarts them when one fails.

    Ray is told of no checkpoint: the storage says which there are, see `checkpoint_store`.
    """
    config = plan.config
    least, most = config.workers
    # Ray ends a rank that does not even answer it, but saves no stacks: so only after the ranks had time to save them.
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(config.hang_seconds + 2 * SAVE_SECONDS)
    if least == most:
        # A machine may take minutes to come; Ray gives up after one, and after three times for good. How long to wait is
        # the driver's to say. An elastic run goes on with fewer ranks instead.
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(2 * config.placement_timeout)
    os.environ.setdefault("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "1")
    trainer = LeanTorchTrainer(
        train_rank,
        train_loop_config={"plan": ray.put(plan), "queue": queue},
        torch_config=ReachableRanks(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=least if least == most else (least, most),
            use_gpu=config.use_gpu,
            resources_per_worker=rank_resources(config),
            elastic_resize_monitor_interval_s=config.resize_seconds,
        ),
        run_config=ray.train.RunConfig(
            name=plan.name,
            storage_path=folder.path.removesuffix(f"/{plan.name}"),
            storage_filesystem=as_pyarrow(folder.fs),
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures, controller_failure_limit=3),
        ),
    )
    return InThread(trainer.fit)
