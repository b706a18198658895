"""How often a run measures the quality of its samples, and on how many, so that it costs a small share of the training."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from dcgan_dist.config import TrainConfig
from dcgan_dist.errors import require
from dcgan_dist.models.flops import forward_flops, step_flops_per_image
from dcgan_dist.quality.random_features import RandomFeatures
from dcgan_dist.training.loop import Intervals

ENOUGH_SAMPLES = 1_000
"""With fewer, a Frechet distance on 416 features says little: rather leave out checkpoints."""
LEAST_SAMPLES = 64
INCEPTION_FLOPS = 1.14e10
"""One image through Inception v3: 5.7e9 multiplications, by its authors' count."""
FEATURES_SLOWER = 3.0
"""Random features are bound by memory: a core makes those of a 64 px image, 0.02 GFLOP, in 1.9 ms, and trains with 28 GFLOP/s."""
DECODE_FLOPS = 4e7
"""What a core trains with while it reads and decodes a held-out image, which takes about a millisecond."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasurementPlan:
    """Settled at the first start of a run and kept by every later one, so that its figures can be compared."""

    samples: int
    """Generated images per measurement; 0: nothing is measured."""
    held_out: int
    """Real images they are compared with."""
    every: int = 1
    """Checkpoints of the schedule from one measurement to the next; the last one is always measured."""

    def __post_init__(self) -> None:
        least = min(self.samples, self.held_out, self.every - 1)
        require(least >= 0, f"no measurements: {self.samples} samples, {self.held_out} held out, every {self.every}")

    def __str__(self) -> str:
        """What figures of two runs must share to be compared."""
        return f"{self.samples} samples, {self.held_out} held out"

    def measures(self, done: int, intervals: Intervals) -> bool:
        """Whether the quality is measured at the checkpoint after so many steps."""
        if self.samples == 0 or not intervals.saves(done):
            return False
        return self.every == 1 or done % (intervals.save * self.every) == 0 or done == intervals.last

    def count(self, intervals: Intervals) -> int:
        """Measurements of a whole run."""
        checkpoints = {*range(intervals.save, intervals.last, intervals.save), *intervals.also_save, intervals.last}
        return sum(self.measures(done, intervals) for done in checkpoints if done <= intervals.last)


def plan_measurements(config: TrainConfig, intervals: Intervals, held_out: int) -> MeasurementPlan:
    """What is asked for, as far as it costs at most `quality.share` of the run's arithmetic.

    A run too short for it takes fewer samples; where those would be too few, it measures fewer of its checkpoints.

    Args:
        config: of the run.
        intervals: its steps.
        held_out: real images there are to compare with.
    """
    quality = config.quality
    if quality.samples == 0 or quality.share == 1:
        return MeasurementPlan(samples=quality.samples, held_out=min(quality.held_out, held_out))
    limit = quality.share * intervals.last * config.data.batch_size * training_flops(config)

    def compared(samples: int, every: int = 1) -> MeasurementPlan:
        return MeasurementPlan(samples=samples, held_out=min(quality.held_out, held_out, samples), every=every)

    enough = compared(min(ENOUGH_SAMPLES, quality.samples))
    once = measuring_flops(config, enough, 1)
    more = measuring_flops(config, enough, 2) - once
    affordable = 1 + max(0, int((limit - once) / more))
    checkpoints = enough.count(intervals)
    every = 1 if affordable >= checkpoints else -(-checkpoints // affordable)
    times = compared(quality.samples, every).count(intervals)
    fewest, most = min(LEAST_SAMPLES, quality.samples), quality.samples
    fitting = bisect_right(
        range(fewest, most + 1), limit, key=lambda samples: measuring_flops(config, compared(samples), times)
    )
    return compared(fewest + max(0, fitting - 1), every)


def training_flops(config: TrainConfig) -> float:
    """Operations of a step and image, by the time that they take: in bfloat16, in which nothing is measured, CPUs do two at once."""
    faster = 2 if config.engine.precision == "bfloat16" and not config.use_gpu else 1
    return step_flops_per_image(config) / faster


def measuring_share(config: TrainConfig, plan: MeasurementPlan, intervals: Intervals) -> float:
    """Time of all measurements over that of all steps."""
    images = intervals.last * config.data.batch_size
    return (
        measuring_flops(config, plan, plan.count(intervals)) / (images * training_flops(config))
        if plan.samples
        else 0.0
    )


def measuring_flops(config: TrainConfig, plan: MeasurementPlan, times: int) -> float:
    """Floating point operations that a step does in the time of so many measurements of a run."""
    model = config.model
    features = FEATURES_SLOWER * feature_flops(model.image_size) + (
        INCEPTION_FLOPS if config.quality.inception_weights else 0
    )
    comparison = 2 * plan.held_out * model.image_channels * model.image_size**2
    sample = forward_flops(model)[0] + features + comparison
    return plan.held_out * (features + DECODE_FLOPS) + times * plan.samples * sample


@cache
def feature_flops(image_size: int) -> float:
    """Operations of the random features of one image."""
    with FlopCounterMode(display=False) as counter:
        RandomFeatures()(torch.zeros(1, 3, image_size, image_size))
    return counter.get_total_flops()
