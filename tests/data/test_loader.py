"""Loader processes give what a thread gives, end with their reader, and never leave it waiting."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from dcgan_dist.data.shards.schema import Layout
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.errors import InputError
from tests.helpers.shards import make_plan, take, write_shards


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "loader_process" in " ".join(child.cmdline())]


@pytest.mark.parametrize("layout", ["samples", "blocks"])
@pytest.mark.parametrize("loader_workers", [1, 2, 4])
def test_any_number_of_loader_processes_gives_the_same_batches(
    tmp_path: Path, layout: Layout, loader_workers: int
) -> None:
    manifest = write_shards(tmp_path, (9, 14, 6), layout=layout)
    plan = make_plan(manifest, batch_size=6, streams=3, window=7, keep=np.delete(np.arange(29), [3, 20]))
    options = {"rank": 1, "world_size": 2, "start_step": 2, "prefetch": 3}

    by_thread = take(manifest, plan, 11, **options)
    by_processes = take(manifest, plan, 11, loader_workers=loader_workers, **options)

    for thread_tensors, process_tensors in zip(by_thread, by_processes, strict=True):
        for expected, tensor in zip(thread_tensors, process_tensors, strict=True):
            assert expected is not None
            assert tensor is not None
            assert torch.equal(expected, tensor)


def test_closing_ends_every_loader_process(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (20,))

    take(manifest, make_plan(manifest), 1, loader_workers=2)

    assert children() == []


def test_a_killed_loader_process_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (20,))
    batches = stream_batches(manifest, make_plan(manifest), rank=0, world_size=1, image_size=8, loader_workers=2)
    next(batches)

    os.kill(children()[1].pid, signal.SIGKILL)

    with pytest.raises(RuntimeError, match="loader process 1 ended with code -9"):
        list(itertools.islice(batches, 10))
    assert children() == []


def test_what_a_loader_process_finds_wrong_comes_out_as_an_input_error(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (20,))
    (tmp_path / "t-train-000000.index.npz").unlink()

    with pytest.raises(InputError, match=r"index t-train-000000\.index\.npz .* is missing"):
        take(manifest, make_plan(manifest), 1, loader_workers=1)


@pytest.mark.cluster
def test_loader_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    write_shards(tmp_path, (20,))
    script = f"""
import time
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.loader import RowTask, read_in_processes
from dcgan_dist.data.shard_plan import ShardPlan
manifest = load_manifest({str(tmp_path)!r})
plan = ShardPlan(shard_samples=manifest.shard_samples, batch_size=6, streams=3)
task = RowTask(manifest=manifest, plan=plan, rows=plan.rows(0, 1), start_step=0, image_size=8, image_channels=3, crop="none")
rows = read_in_processes(task, 2, 2)
next(rows)
print("reading", flush=True)
time.sleep(60)
"""
    parent = psutil.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout.readline() == b"reading\n"
    loaders = parent.children()
    assert len(loaders) == 2

    parent.kill()
    parent.wait()

    _, alive = psutil.wait_procs(loaders, timeout=5)
    assert not alive
    parent.stdout.close()


def test_a_loader_process_starts_without_torch(tmp_path: Path) -> None:
    manifest = write_shards(tmp_path, (20,))
    batches = stream_batches(manifest, make_plan(manifest), rank=0, world_size=1, image_size=8, loader_workers=1)

    start = time.perf_counter()
    next(batches)
    waited = time.perf_counter() - start
    mapped = {Path(region.path).name for region in children()[0].memory_maps()}
    batches.close()

    assert not any("torch" in name for name in mapped)
    assert waited < 10
