"""A run that is killed anywhere goes on with exactly the keys that are left: none twice, none lost."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.schema import Layout, Manifest
from tests.helpers.shards import damage_sample, make_plan, planned, positions_of, take, write_shards

KILLS = 200


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    shapes = [(31,), (7, 11, 5), (1, 1, 1, 40, 2), (12, 12)]
    folder = tmp_path_factory.mktemp("resume")
    return [
        write_shards(folder / str(i), shape, layout="blocks" if i % 2 else "samples", labelled=False)
        for i, shape in enumerate(shapes)
    ]


def read_positions(
    manifest: Manifest, plan: ShardPlan, start: int, n: int, world_size: int, loader_workers: int
) -> np.ndarray:
    """What the ranks really hand out, put together: (n, B) manifest positions recognised by their pixels."""
    read = np.empty((n, plan.batch_size), np.int64)
    for rank in range(world_size):
        options = {"start_step": start, "loader_workers": loader_workers, "prefetch": 1 + rank % 3}
        for step, batch in enumerate(take(manifest, plan, n, rank=rank, world_size=world_size, **options)):
            read[step, plan.rows(rank, world_size)] = positions_of(batch.images)
    return read


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, dict, int, int]:
    """(data set, plan settings, ranks before the kill, ranks after it)."""
    streams = draw(st.sampled_from([1, 2, 4]))
    settings = {
        "streams": streams,
        "batch_size": streams * draw(st.integers(1, 2)),
        "window": draw(st.integers(1, 9)),
        "seed": draw(st.integers(0, 3)),
    }
    ranks = st.integers(1, streams)
    return draw(st.integers(0, 3)), settings, draw(ranks), draw(ranks)


@settings(max_examples=KILLS, deadline=None)
@given(runs(), st.data())
@pytest.mark.cluster
def test_a_kill_at_any_step_loses_nothing_and_repeats_nothing(
    data_sets: list[Manifest], run: tuple, data: st.DataObject
) -> None:
    which, plan_settings, ranks_before, ranks_after = run
    manifest = data_sets[which]
    plan = make_plan(manifest, **plan_settings)
    steps = min(2 * plan.steps_per_epoch, 14)
    killed_after = data.draw(st.integers(0, steps))

    before = read_positions(manifest, plan, 0, killed_after, ranks_before, 0)
    after = read_positions(manifest, plan, killed_after, steps - killed_after, ranks_after, 0)

    read = np.concatenate([before, after])
    assert np.array_equal(read, [planned(plan, step) for step in range(steps)])
    first_epoch = read[: plan.steps_per_epoch].ravel()
    assert len(set(first_epoch.tolist())) == len(first_epoch)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("loader_workers", [0, 1, 3])
def test_the_keys_of_every_global_batch_do_not_depend_on_ranks_or_loader_processes(
    data_sets: list[Manifest], world_size: int, loader_workers: int
) -> None:
    manifest = data_sets[1]
    plan = make_plan(manifest, batch_size=8, streams=4, window=3)

    read = read_positions(manifest, plan, 1, plan.steps_per_epoch, world_size, loader_workers)

    assert np.array_equal(read, [planned(plan, step) for step in range(1, 1 + plan.steps_per_epoch)])


@pytest.mark.parametrize("layout", ["samples", "blocks"])
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.sets(st.integers(0, 22), max_size=8), st.data())
def test_damaged_samples_are_replaced_alike_on_any_world_size(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout, world_size: int, damaged: set[int], data: st.DataObject
) -> None:
    manifest = write_shards(tmp_path_factory.mktemp("damaged"), (7, 11, 5), layout=layout, labelled=False)
    for position in damaged:
        damage_sample(manifest, position)
    plan = make_plan(manifest, batch_size=8, streams=4)
    assume(all(set(plan.stream(epoch, c).tolist()) - damaged for epoch in (0, 1) for c in range(4)))
    start = data.draw(st.integers(0, plan.steps_per_epoch - 1))

    read = read_positions(manifest, plan, start, 2, world_size, 0)

    for offset in range(2):
        epoch, step = plan.epoch_and_step(start + offset)
        assert read[offset].tolist() == [
            replacement(plan.stream(epoch, row // 2), step * 2 + row % 2, damaged) for row in range(8)
        ]


def replacement(order: np.ndarray, place: int, damaged: set[int]) -> int:
    """The rule, written out: itself, else the nearest good one before it, else the nearest after it."""
    for candidate in [*order[: place + 1][::-1], *order[place + 1 :]]:
        if candidate not in damaged:
            return int(candidate)
    raise AssertionError
