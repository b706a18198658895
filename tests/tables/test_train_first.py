"""The run that a table's command trains first."""

from pathlib import Path

import pytest

from dcgan_dist.tables.table_options import MnistTableOptions
from dcgan_dist.tables.train_first import training_config
from dcgan_dist.training.schedule import learning_rate


@pytest.mark.parametrize("epochs", [0, 200, 50, 28, 25, 14, 2])
def test_the_learning_rate_falls_over_the_second_half_of_a_run_of_any_length(tmp_path: Path, epochs: int) -> None:
    options = MnistTableOptions(model="train:mnist28", data="mnist", out=str(tmp_path), epochs=epochs, tracking_uri="")
    config = training_config(options, "mnist", "shards")

    rates = [
        learning_rate(config.optimizer_g, epoch, steps_per_epoch=1, batch_size=128) for epoch in range(config.epochs)
    ]

    assert config.epochs == (epochs or 200)
    assert config.run_name == f"mnist28-{config.epochs}"
    half = config.epochs // 2
    assert rates[: half + 1] == [2e-4] * (half + 1)
    assert rates[-1] == pytest.approx(2e-4 / (config.epochs - half))
    assert sorted(rates, reverse=True) == rates
