"""Who moves when, how fast, and when a run counts as collapsed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dcgan_dist.config import AlarmConfig, OptimizerConfig
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.ranges import to_float
from dcgan_dist.presets import preset
from dcgan_dist.training.alarm import CollapseAlarm
from dcgan_dist.training.schedule import learning_rate, phases, updates


def test_faces_take_34188_generator_and_34187_discriminator_updates_in_25_epochs() -> None:
    assert updates("alternate", 2735 * 25) == (34_187, 34_188)


@pytest.mark.parametrize("schedule", ["both", "alternate"])
def test_updates_count_the_phases(schedule: str) -> None:
    moved = [phases(schedule, step) for step in range(9)]

    assert updates(schedule, 9) == (sum(d for d, _ in moved), sum(g for _, g in moved))


def test_mnist_rate_is_full_for_101_epochs_and_a_hundredth_in_the_200th() -> None:
    adam = preset("mnist28").optimizer_g

    def rate(epoch: int) -> float:
        return learning_rate(adam, 390 * epoch, steps_per_epoch=390, batch_size=128)

    assert [rate(epoch) for epoch in (0, 100)] == [2e-4, 2e-4]
    assert rate(101) == pytest.approx(2e-4 * 0.99)
    assert rate(199) == pytest.approx(2e-6)


def test_other_rates_are_constant() -> None:
    assert learning_rate(preset("lsun64").optimizer_d, 10_000, steps_per_epoch=1, batch_size=1024) == 2e-4


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("square_root", 2), ("linear", 4)])
def test_larger_batches_get_a_larger_rate_after_a_linear_warm_up(scaling: Any, factor: float) -> None:
    adam = OptimizerConfig(lr=1e-3, batch_scaling=scaling, warm_up_steps=10)
    rates = [learning_rate(adam, step, steps_per_epoch=5, batch_size=512) for step in range(30)]

    assert rates[:10] == pytest.approx([factor * 1e-3 * (step + 1) / 10 for step in range(10)])
    assert rates[10:] == pytest.approx([factor * 1e-3] * 20)


def test_pixels_span_the_generator_s_range() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8)

    assert to_float(pixels, preset("lsun64").model).tolist() == [-1, 1]
    assert to_float(pixels, preset("mnist28").model).tolist() == [0, 1]


HEALTHY = {"diversity/fake_to_real": 0.9, "accuracy/d": 0.8}


@pytest.mark.parametrize("sick", [{"diversity/fake_to_real": 0.01}, {"accuracy/d": 1.0}])
def test_alarm_is_raised_once_after_patience_reports(sick: dict[str, float]) -> None:
    alarm = CollapseAlarm(AlarmConfig(patience=3))

    said = [alarm.check(HEALTHY | sick) for _ in range(5)]

    assert [message is not None for message in said] == [False, False, True, False, False]


def test_a_healthy_report_silences_the_count_and_a_resumed_count_goes_on() -> None:
    sick = HEALTHY | {"accuracy/d": 1.0}
    alarm = CollapseAlarm(AlarmConfig(patience=2))
    assert [alarm.check(metrics) for metrics in (sick, HEALTHY, sick)] == [None, None, None]

    resumed = CollapseAlarm(AlarmConfig(patience=2), count=alarm.count)

    assert resumed.check(sick) is not None


def test_words_seed_generators_apart() -> None:
    draws = {tuple(torch.rand(3, generator=seeded(*words)).tolist()) for words in ((0,), (1,), (0, "z"), ("0/z",))}

    assert len(draws) == 3  # (0, "z") and "0/z" are the same words
