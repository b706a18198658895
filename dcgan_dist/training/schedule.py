"""Which network moves when, and how fast: pure functions of the step."""

from dcgan_dist.config import OptimizerConfig

REFERENCE_BATCH = 128  # of the paper, for which its rates are chosen
BATCH_EXPONENT = {"none": 0.0, "square_root": 0.5, "linear": 1.0}


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


def learning_rate(config: OptimizerConfig, step: int, *, steps_per_epoch: int, batch_size: int) -> float:
    """Rate of a step counted from 0 over the whole run.

    Constant over an epoch (after the warm-up), then falling by lr / decay_epochs per epoch, never below 0: the MNIST script's
    101 constant epochs and 100 decaying ones give lr / 100 in the 200th.

    Args:
        config: settings of one network's optimiser.
        step: counted from 0.
        steps_per_epoch: global batches of an epoch.
        batch_size: rows of the global batch.
    """
    rate = config.lr * (batch_size / REFERENCE_BATCH) ** BATCH_EXPONENT[config.batch_scaling]
    if step < config.warm_up_steps:
        rate *= (step + 1) / config.warm_up_steps
    if not config.decay_epochs:
        return rate
    decayed = max(0, step // steps_per_epoch + 1 - config.constant_epochs)
    return rate * max(0.0, 1 - decayed / config.decay_epochs)
