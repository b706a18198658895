"""Samples of a run in training: the grid people look at, and figures of their quality."""

import threading
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from dcgan_dist.data.stream import BadSampleLog, read_images
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.pictures import save_grid
from dcgan_dist.quality.quality import Reference, measure_quality
from dcgan_dist.quality.sampling import sample_batches
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.storage.scratch import scratch_folder

GRID_IMAGES = 64


class CancelledEvaluation(Exception):
    """Quality is not to be measured now, because the ranks are about to leave."""


class SampleEvaluator:
    """Draws samples as the paper does, with the statistics of the sampled batch, and compares them with real images.

    The z are the same at every call, so that grids of one run can be compared; nothing of the run is disturbed.
    """

    def __init__(self, plan: RunPlan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.cancelled = threading.Event()
        """Once set, every measurement ends with CancelledEvaluation."""
        self.measuring = False
        """Whether a measurement runs now, in whichever thread."""

    def __call__(self, generator: Generator, *, measured: bool) -> tuple[dict[str, float], bytes]:
        """Quality figures by metric name, none unless measured, and a grid as a PNG; raises CancelledEvaluation."""
        figures: dict[str, float] = {}
        if measured:
            self.measuring = True
            try:
                figures = measure_quality(self._batches(generator, self.plan.measurements.samples), self._reference)
            finally:
                self.measuring = False
        return figures, self._grid(generator)

    @cached_property
    def _reference(self) -> Reference:
        config = self.plan.config
        held_out = read_images(
            self.plan.held_out,
            self.plan.measurements.held_out,
            image_size=config.model.image_size,
            image_channels=config.model.image_channels,
            crop=config.data.crop,
            on_bad_sample=BadSampleLog(config.data.max_bad_fraction, self.plan.held_out.samples),
        )
        return Reference(
            held_out,
            output=config.model.output,
            device=self.device,
            inception_weights=config.quality.inception_weights,
        )

    def _batches(self, generator: Generator, count: int) -> Iterator[Tensor]:
        config = self.plan.config
        batches = sample_batches(generator, count, seed=config.seed, batch_size=config.data.batch_size, mode="batch")
        while not self.cancelled.is_set():
            batch = next(batches, None)
            if batch is None:
                return
            yield batch
        raise CancelledEvaluation

    def _grid(self, generator: Generator) -> bytes:
        config = self.plan.config  # so few are not worth cancelling: only what was measured is made up for
        images = torch.cat(
            list(
                sample_batches(
                    generator, GRID_IMAGES, seed=config.seed, batch_size=config.data.batch_size, mode="batch"
                )
            )
        )
        with scratch_folder() as folder:
            path = save_grid(images, folder / "grid.png", output=generator.config.output)
            return path.read_bytes()
