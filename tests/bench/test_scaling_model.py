"""What many GPUs would do is plain arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.bench.scaling import fit_step
from dcgan_dist.bench.scaling_model import Link, StepModel, predict, reduction_seconds

STEP = StepModel(fixed_seconds=1e-3, seconds_per_row=3e-5, reduced_bytes=144e6, overlap_share=0.0)


def test_a_ring_of_two_sends_every_byte_once_and_two_messages() -> None:
    assert Link(bytes_per_second=50.0, latency=3.0).ring_seconds(2, 100.0) == pytest.approx(100 / 50 + 2 * 3)


def test_one_member_reduces_nothing() -> None:
    assert Link(bytes_per_second=1.0, latency=1.0).ring_seconds(1, 1e9) == 0


def test_machines_of_eight_add_the_slow_link() -> None:
    fast, slow = Link(bytes_per_second=10.0, latency=0.0), Link(bytes_per_second=1.0, latency=0.0)

    assert reduction_seconds(8, 8.0, inside=fast, between=slow) == pytest.approx(2 * 7 / 8 * 8 / 10)
    assert reduction_seconds(16, 8.0, inside=fast, between=slow) == pytest.approx(2 * 7 / 8 * 8 / 10 + 8 / 1)


def test_step_times_on_a_line_give_back_its_slope_and_start() -> None:
    assert fit_step({rows: 0.1 + 0.01 * rows for rows in (8, 16, 32)}) == pytest.approx((0.1, 0.01))


@given(overlap=st.floats(0, 1), gpus=st.integers(1, 512))
def test_efficiency_lies_between_0_and_1_and_is_1_where_all_is_hidden(overlap: float, gpus: int) -> None:
    step = StepModel(fixed_seconds=1e-3, seconds_per_row=3e-5, reduced_bytes=144e6, overlap_share=overlap)
    (weak,) = predict(step, [gpus], rows_per_gpu=128)

    assert 0 < weak["efficiency"] <= 1 + 1e-9
    if overlap == 1:
        assert weak["efficiency"] == pytest.approx(1)


def test_strong_scaling_loses_the_part_of_a_step_that_does_not_shrink() -> None:
    one, many = predict(STEP, [1, 64], global_batch=4096)

    assert many["rows_per_gpu"] == 64
    assert many["efficiency"] < one["efficiency"] == pytest.approx(1)


def test_either_the_global_batch_or_the_rows_are_fixed() -> None:
    with pytest.raises(ValueError, match="either"):
        predict(STEP, [1], global_batch=8, rows_per_gpu=8)
