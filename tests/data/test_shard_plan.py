"""The shard plan against brute force: a partition, the same for any number of ranks, resumable anywhere."""

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcgan_dist.data.shard_plan import ShardPlan, default_streams
from dcgan_dist.errors import InputError


@st.composite
def plans(draw: st.DrawFn) -> ShardPlan:
    shards = draw(st.lists(st.integers(0, 40), min_size=1, max_size=8))
    streams = draw(st.sampled_from([1, 2, 3, 4, 8]))
    batch_size = streams * draw(st.integers(1, 4))
    keep = None
    if draw(st.booleans()):
        keep = np.flatnonzero(draw(st.lists(st.booleans(), min_size=sum(shards), max_size=sum(shards))))
    assume((sum(shards) if keep is None else len(keep)) >= batch_size)
    window, seed = draw(st.integers(1, 20)), draw(st.integers(0, 5))
    return ShardPlan(
        shard_samples=tuple(shards), batch_size=batch_size, streams=streams, window=window, seed=seed, keep=keep
    )


def whole_epoch(plan: ShardPlan, epoch: int) -> np.ndarray:
    return np.concatenate([plan.stream(epoch, stream) for stream in range(plan.streams)])


def left_out(plan: ShardPlan, epoch: int) -> np.ndarray:
    """Manifest positions that an epoch leaves out."""
    everything = np.arange(sum(plan.shard_samples)) if plan.keep is None else plan.keep
    return np.concatenate([everything[first:end] for first, end in [(0, 0), *plan.left_out(epoch)]])


@settings(max_examples=150, deadline=None)
@given(plans(), st.integers(0, 4))
def test_an_epoch_reads_every_kept_sample_once_except_the_tail_left_out(plan: ShardPlan, epoch: int) -> None:
    everything = np.arange(sum(plan.shard_samples)) if plan.keep is None else plan.keep

    read = np.concatenate([whole_epoch(plan, epoch), left_out(plan, epoch)])

    assert sorted(read) == everything.tolist()


@settings(max_examples=60, deadline=None)
@given(plans())
def test_the_tail_rotates_so_that_every_sample_is_left_out_equally_often(plan: ShardPlan) -> None:
    epochs = plan.samples

    times = np.zeros(sum(plan.shard_samples), int)
    for epoch in range(epochs):
        times[left_out(plan, epoch)] += 1

    kept = slice(None) if plan.keep is None else plan.keep
    assert set(times[kept]) == {plan.samples % plan.batch_size}


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(1, 8))
def test_the_rows_of_all_ranks_are_a_partition_of_the_global_batch(plan: ShardPlan, world_size: int) -> None:
    assume(world_size <= plan.streams)

    rows = np.concatenate([plan.rows(rank, world_size) for rank in range(world_size)])

    assert sorted(rows) == list(range(plan.batch_size))
    for rank in range(world_size):
        streams = plan.rows(rank, world_size) // plan.rows_per_stream
        assert set(streams % world_size) == {rank}


def test_the_order_follows_the_design_on_a_case_worked_by_hand() -> None:
    plan = ShardPlan(shard_samples=(3, 5, 2), batch_size=4, streams=2, window=1, seed=7)

    first, second = plan.stream(1, 0), plan.stream(1, 1)

    assert plan.left_out(1) == [(2, 4)]  # n = 10, t = 2, epoch 1: positions (2 + i) mod 10
    sequence = [*first, *second]  # a window of 1 leaves the laid-out sequence as it is
    shards = {0: [0, 1], 1: [4, 5, 6, 7], 2: [8, 9]}
    orders = [[p for shard in order for p in shards[shard]] for order in np.ndindex(3, 3, 3) if len(set(order)) == 3]
    assert sequence in orders
    assert len(first) == len(second) == 4


def test_windows_shuffle_inside_themselves_only() -> None:
    plan = ShardPlan(shard_samples=(64,), batch_size=4, streams=2, window=8, seed=3)

    stream = plan.stream(0, 1)

    windows = stream.reshape(4, 8)
    assert np.array_equal(np.sort(windows, axis=1), 32 + np.arange(32).reshape(4, 8))
    assert not np.array_equal(stream, np.sort(stream))


def test_epochs_and_seeds_give_other_orders_and_a_plan_made_again_the_same() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return whole_epoch(ShardPlan(shard_samples=(50, 50), batch_size=10, streams=2, seed=seed), epoch).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_three_million_samples_are_planned_in_under_a_second_per_rank() -> None:
    plan = ShardPlan(shard_samples=(8192,) * 370, batch_size=128, streams=64)

    start = time.perf_counter()
    for stream in plan.owned_streams(0, 2).tolist():
        plan.stream(3, stream)

    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(("batch_size", "streams"), [(128, 64), (64, 64), (96, 32), (100, 4), (7, 1), (256, 64)])
def test_the_default_number_of_streams_is_the_largest_power_of_two_up_to_64_that_divides(
    batch_size: int, streams: int
) -> None:
    assert default_streams(batch_size) == streams


def test_what_cannot_be_planned_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="3 samples do not fill one batch of 4"):
        ShardPlan(shard_samples=(3,), batch_size=4, streams=2)
    with pytest.raises(InputError, match="3 streams do not divide the batch size 4"):
        ShardPlan(shard_samples=(30,), batch_size=4, streams=3)
    with pytest.raises(InputError, match="3 ranks cannot share 2 streams"):
        ShardPlan(shard_samples=(30,), batch_size=4, streams=2).rows(0, 3)
