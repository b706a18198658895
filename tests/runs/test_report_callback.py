"""The line of a report."""

import pytest

from dcgan_dist.runs.report_callback import PLAYERS, progress_line
from dcgan_dist.training.loop import Report
from tests.chaos.cost import heard


@pytest.mark.parametrize("measuring", [False, True])
def test_the_progress_line_of_the_longest_run_fits_100_columns(measuring: bool) -> None:
    metrics: dict[str, float] = dict(zip(PLAYERS, (0.6931, 12.3456, 0.987, 0.012), strict=True))
    speed = {"images_per_second": 22592.4, "data_wait_share": 0.123}
    report = Report(step=1, images_seen=37_000_000, metrics=metrics, **speed)

    line = progress_line(report, 303_304_200, 3_033_042, measuring=measuring)

    start = "epoch 12.20/100 | 22,592 img/s | ETA 3:16:27 | loss 0.69 12.35 | D(x) 0.99 D(G(z)) 0.01 | "
    assert line == start + ("measuring" if measuring else "wait 12%")
    assert len(line) <= 100


def test_the_tests_that_inject_faults_hear_every_step_in_the_progress_lines() -> None:
    """They are slow, and a line in another form would leave them waiting."""
    batch, steps_per_epoch = 16, 18
    metrics: dict[str, float] = dict.fromkeys(PLAYERS, 0.5)

    for step in range(1, 400):
        report = Report(
            step=step, images_seen=step * batch, metrics=metrics, images_per_second=100.0, data_wait_share=0.0
        )
        line = progress_line(report, 400 * batch, steps_per_epoch * batch)
        assert heard([line], steps_per_epoch).step == step
