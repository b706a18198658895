"""Which network moves when, and how fast."""

from typing import Any

import pytest

from dcgan_dist.config import OptimizerConfig
from dcgan_dist.presets import preset
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
