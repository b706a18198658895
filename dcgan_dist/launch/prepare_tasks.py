"""Shards made by Ray tasks, one task per output shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from dcgan_dist.data.schema import Layout
from dcgan_dist.data.sources.base import Source
from dcgan_dist.launch.prepare import Run, ShardResult, ShardTask, make_shard, run_here
from dcgan_dist.launch.tasks import run_tasks


def runner(cpus: int) -> Run:
    """Where shards are made: here for one CPU, else on the Ray cluster, that many at once (0: all its CPUs)."""

    def run_on_cluster(
        source: Source, tasks: Sequence[ShardTask], layout: Layout, folder: str
    ) -> Iterator[tuple[ShardTask, ShardResult]]:
        yield from run_tasks(partial(make_shard, layout=layout, folder=folder), source, tasks, cpus=cpus)

    return run_here if cpus == 1 else run_on_cluster
