"""On a cluster every stage of a de-duplication but the choice is tasks that run on all its nodes."""

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from dcgan_dist.cluster import tasks
from dcgan_dist.dedup import find_pairs, pairs_csv
from dcgan_dist.dedup.job import run_dedup
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from tests.helpers.nodes import local_cluster

STAGES = {"index_tar", "_thumbnails_task", "_codes_task", "_search_stripe", "_score_task", "_flipped_codes", "_lines"}


def with_node(function: Callable[[Any, Any], Any], shared: Any, task: Any) -> tuple[str, Any]:
    time.sleep(0.05)  # a task that is over at once leaves its place to the next one, and no other node is asked
    return ray.get_runtime_context().get_node_id(), function(shared, task)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [2, 4])
def test_every_stage_runs_on_all_nodes_and_finds_what_one_process_finds(
    nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    run_on_cluster = tasks._run_on_cluster

    def noting(
        function: Callable[[Any, Any], Any], shared: Any, waiting: Sequence[Any], *rest: Any
    ) -> Iterator[tuple[Any, Any]]:
        called = shared if function.__name__ in ("_call", "_call_numbered") else function
        name = getattr(called, "func", called).__name__
        for task, (node, result) in run_on_cluster(partial(with_node, function), shared, waiting, *rest):
            seen[name].add(node)
            yield task, result

    monkeypatch.setattr(find_pairs, "STRIPE_SECONDS", 1e-5)
    monkeypatch.setattr(find_pairs, "BLOCK", 200)
    monkeypatch.setattr(find_pairs, "ENCODED", 50)
    monkeypatch.setattr(pairs_csv, "BLOCK", 200)
    written = prepare(
        plant_duplicates(RoomSource(n=1200), 0.1), ShardOptions(out=str(tmp_path / "rooms"), shard_samples=100, cpus=1)
    ).manifest
    kept = {}
    for name in ("alone", "cluster"):
        (tmp_path / name).mkdir()
        for shard in written.shards:
            shutil.copy(tmp_path / "rooms" / shard.name, tmp_path / name)
        options = DedupOptions(
            shards=[str(tmp_path / name)],
            out=str(tmp_path / f"{name}-dedup"),
            cpus=1 if name == "alone" else 0,
            coder=str(tmp_path / "alone-dedup" / "coder-recommended") if name == "cluster" else "",
            tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        )
        if name == "alone":
            run_dedup(options)
        else:
            monkeypatch.setattr(tasks, "_run_on_cluster", noting)
            with local_cluster(nodes) as cluster:
                monkeypatch.setenv("RAY_ADDRESS", cluster.address)
                try:
                    run_dedup(options)
                finally:
                    ray.shutdown()
        kept[name] = (tmp_path / f"{name}-dedup" / "pairs.csv").read_bytes()

    assert kept["cluster"] == kept["alone"]
    assert {name: len(found) for name, found in seen.items()} == dict.fromkeys(STAGES, nodes)
