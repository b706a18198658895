"""Reading speed against plain webdataset on the same images, in one run; the full comparison is the data benchmark."""

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from dcgan_dist.bench import data_peers
from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import stream_batches
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare

BATCH, BATCHES = 128, 20
pytest.importorskip("pytest_benchmark", reason="speed is measured with pytest-benchmark")
seconds: dict[str, float] = {}


pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    folder: Path = tmp_path_factory.mktemp("speed")
    for layout in ("samples", "blocks"):
        prepare(RoomSource(n=1024), ShardOptions(out=str(folder / layout), layout=layout, shard_samples=512, cpus=1))  # type: ignore[arg-type]
    return {layout: load_manifest(str(folder / layout)) for layout in ("samples", "blocks")}


def ours(manifest: Manifest) -> Generator[object]:
    plan = ShardPlan(shard_samples=manifest.shard_samples, batch_size=BATCH, streams=64)
    return stream_batches(manifest, plan, rank=0, world_size=1, image_size=64)


def plain_webdataset(manifest: Manifest) -> Generator[object]:
    loader = DataLoader(data_peers.webdataset(manifest), BATCH)
    while True:
        yield from loader


@pytest.mark.parametrize("reader", ["webdataset", "samples", "blocks"])
def test_reading_is_measured(benchmark, shards: dict[str, Manifest], reader: str) -> None:
    batches = plain_webdataset(shards["samples"]) if reader == "webdataset" else ours(shards[reader])
    with closing(batches):
        read = benchmark.pedantic(lambda: sum(1 for _ in islice(batches, BATCHES)), rounds=4, warmup_rounds=1)

    assert read == BATCHES
    seconds[reader] = benchmark.stats.stats.min


def test_jpeg_is_twice_and_blocks_ten_times_as_fast_as_plain_webdataset() -> None:
    if len(seconds) < 3:
        pytest.skip("the readers were not measured in this run")

    assert seconds["webdataset"] > 2 * seconds["samples"]
    assert seconds["webdataset"] > 10 * seconds["blocks"]
