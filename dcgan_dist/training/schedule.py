"""Which network moves when, and how fast: pure functions of the step."""

from __future__ import annotations

from dcgan_dist.config import OptimizerConfig


def phases(schedule: str, step: int) -> tuple[bool, bool]:
    """Whether (D, G) move in a step, counted from 0 over the whole run.

    `both`: every step. `alternate`: G on even steps, D on odd ones, as the authors' released scripts do; the count runs on
    across epochs, so that after an odd number of batches the next epoch starts with D.
    """
    if schedule == "both":
        return True, True
    return step % 2 == 1, step % 2 == 0


def updates(schedule: str, steps: int) -> tuple[int, int]:
    """Updates of (D, G) in the first steps of a run."""
    if schedule == "both":
        return steps, steps
    return steps // 2, steps - steps // 2


def learning_rate(config: OptimizerConfig, epoch: int) -> float:
    """Rate in an epoch counted from 0: constant, then falling by lr / decay_epochs per epoch, never below 0.

    The MNIST script's 101 constant epochs and 100 decaying ones give lr / 100 in the 200th.
    """
    if not config.decay_epochs:
        return config.lr
    decayed = max(0, epoch + 1 - config.constant_epochs)
    return config.lr * max(0.0, 1 - decayed / config.decay_epochs)
