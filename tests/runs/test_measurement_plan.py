"""How often quality is measured: within its share of the run, comparable within a run, the same at every start."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.models.flops import step_flops_per_image
from dcgan_dist.presets import PRESETS, preset
from dcgan_dist.runs.measurement_plan import (
    ENOUGH_SAMPLES,
    LEAST_SAMPLES,
    MeasurementPlan,
    measuring_flops,
    plan_measurements,
)
from dcgan_dist.runs.plan import run_intervals


def measurements(config: TrainConfig, images: int, held_out: int = 10_000) -> tuple[MeasurementPlan, float]:
    """The plan of a run of so many images, and what it costs as a share of the run."""
    intervals = run_intervals(replace(config, "images", images), steps_per_epoch=10**6)
    plan = plan_measurements(config, intervals, held_out)
    run = intervals.last * config.data.batch_size * step_flops_per_image(config)
    return plan, measuring_flops(config, plan, plan.count(intervals)) / run


@settings(deadline=None)  # the first example of a preset counts its operations
@given(
    name=st.sampled_from(sorted(PRESETS)),
    images=st.integers(1, 10**7),
    held_out=st.integers(2, 10**5),
    share=st.sampled_from([0.01, 0.05, 0.5]),
)
def test_measuring_stays_within_its_share_with_as_many_samples_as_that_allows(
    name: str, images: int, held_out: int, share: float
) -> None:
    config = replace(preset(name), "quality.share", share)

    plan, cost = measurements(config, images, held_out)

    assert cost <= share or plan.samples == LEAST_SAMPLES
    assert plan.held_out <= max(2, min(held_out, config.quality.held_out))
    assert plan.every == 1 or plan.samples <= ENOUGH_SAMPLES * 2 or plan.samples == config.quality.samples


@pytest.mark.parametrize("images", [640, 5_000])
def test_a_short_run_measures_few_samples_and_a_long_one_all_of_them(images: int) -> None:
    config = preset("examples64")

    short, _ = measurements(config, images)
    long, _ = measurements(config, 10**7)
    # Steps in bfloat16 take half the time, and measuring the same: half as much fits.
    _, half = measurements(replace(config, "engine.precision", "bfloat16"), images)

    assert short.samples < 2 * ENOUGH_SAMPLES
    assert half <= config.quality.share / 2
    assert long == MeasurementPlan(samples=10_000, held_out=10_000)


def test_the_last_checkpoint_is_measured_however_rare_measurements_are() -> None:
    config = preset("demo32")
    intervals = run_intervals(replace(config, "images", config.data.batch_size * 103), steps_per_epoch=50)
    plan = MeasurementPlan(samples=64, held_out=64, every=4)

    measured = [done for done in range(1, 104) if plan.measures(done, intervals)]

    assert measured == [40, 80, 103]
    assert plan.count(intervals) == 3


def test_a_share_of_one_measures_what_is_asked_for() -> None:
    config = replace(replace(preset("examples64"), "quality.share", 1.0), "quality.samples", 7_000)

    assert measurements(config, 640, held_out=500)[0] == MeasurementPlan(samples=7_000, held_out=500)
