"""Shards made by Ray tasks, one task per output shard; a task whose process dies is started again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ray
from ray.exceptions import RayTaskError

from dcgan_dist.config import InputError
from dcgan_dist.data.schema import Layout
from dcgan_dist.data.sources.base import Source
from dcgan_dist.launch.cluster import join_cluster
from dcgan_dist.launch.prepare import Run, ShardResult, ShardTask, make_shard, run_here

WAITING_PER_CPU = 2
"""Tasks handed to Ray ahead of need; more would only fill its memory with lists of items."""


def runner(cpus: int) -> Run:
    """Where shards are made: here for one CPU, else on the Ray cluster, that many at once (0: all its CPUs)."""

    def run_on_cluster(
        source: Source, tasks: Sequence[ShardTask], layout: Layout, folder: str
    ) -> Iterator[tuple[ShardTask, ShardResult]]:
        if len(tasks) <= 1:  # not worth starting anything
            yield from run_here(source, tasks, layout, folder)
            return
        join_cluster()
        most = cpus or max(1, int(ray.cluster_resources().get("CPU", 1)))
        yield from _run_tasks(source, tasks, layout, folder, most)

    return run_here if cpus == 1 else run_on_cluster


def _run_tasks(
    source: Source, tasks: Sequence[ShardTask], layout: Layout, folder: str, most: int
) -> Iterator[tuple[ShardTask, ShardResult]]:
    remote = ray.remote(num_cpus=1, max_retries=3)(make_shard)
    shared = ray.put(source)
    waiting = list(reversed(tasks))
    under_way: dict[ray.ObjectRef, ShardTask] = {}
    at_once = most if most < ray.cluster_resources().get("CPU", 1) else most * WAITING_PER_CPU
    try:
        while waiting or under_way:
            while waiting and len(under_way) < at_once:
                task = waiting.pop()
                under_way[remote.remote(shared, task, layout, folder)] = task
            (ready, *_), _ = ray.wait(list(under_way), num_returns=1)
            yield under_way.pop(ready), ray.get(ready)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(str(error.cause)) from error
        raise
    finally:
        for reference in under_way:
            ray.cancel(reference)
