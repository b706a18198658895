"""Training a classifier on few labelled images: one step, and how often it is wrong."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan_dist.config import EngineConfig, SupervisedConfig
from dcgan_dist.errors import require
from dcgan_dist.models.classifier import Classifier, dropout_factors
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.layers import initialise
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.training.in_memory_order import batch_positions
from dcgan_dist.training.players import adam
from dcgan_dist.training.step import gradient_norm

EVALUATION_ROWS = 500

ImagesAndLabels = tuple[Tensor, Tensor]
"""uint8 images (n, c, s, s) and their int64 classes (n,)."""


class Learner:
    """A classifier and its optimiser, initialised from the seed."""

    def __init__(self, config: SupervisedConfig, *, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        self.network = Classifier(config.classifier)
        init_std = config.classifier.model.init_std
        initialise(self.network, std=init_std, generator=seeded(config.seed, "initialise", "classifier"))
        self.network.to(device)
        self.optimizer = adam(self.network, config.optimizer, EngineConfig())

    def state(self) -> dict[str, dict]:
        """State of both parts by name, as a checkpoint keeps it."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, dict]) -> None:
        """Put both parts back; strict."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def step(self, number: int, batch: ImagesAndLabels) -> dict[str, Tensor]:
        """One update; the same for the same number of the step, from 0, and batch, whatever was drawn before.

        Returns:
            `loss/train` and `error_percent/train` of the batch before the update, and `gradient_norm/train`.
        """
        images, labels = self._to_float(batch[0]), batch[1].to(self.device)
        self.network.train()
        logits = self.network(images, self._dropout(number, len(images)))
        loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        norm = gradient_norm(self.network)
        self.optimizer.step()
        wrong = (logits.detach().argmax(1) != labels).float().mean()
        return {"loss/train": loss.detach(), "error_percent/train": 100 * wrong, "gradient_norm/train": norm}

    def standardise(self, images: Tensor) -> None:
        """Measure standing batch normalisation statistics over training images, in batches as in training."""
        size = self.config.batch_size
        whole = images[: len(images) // size * size].split(size)
        restandardise(self.network, ((self._to_float(batch),) for batch in whole))

    @torch.no_grad()
    def error_percent(self, data: ImagesAndLabels) -> float:
        """Share of images whose largest logit is not that of their class, in percent; needs standing statistics.

        An image with a non-finite logit counts as wrong.
        """
        self.network.eval()
        wrong = 0
        for images, labels in zip(*(tensor.split(EVALUATION_ROWS) for tensor in data), strict=True):
            logits = self.network(self._to_float(images))
            right = (logits.argmax(1) == labels.to(self.device)) & torch.isfinite(logits).all(1)
            wrong += int((~right).sum())
        return 100 * wrong / len(data[1])

    def _dropout(self, number: int, rows: int) -> Tensor | None:
        if not self.config.dropout:
            return None
        uniform = torch.rand((rows, self.network.units), generator=seeded(self.config.seed, "dropout", number))
        return dropout_factors(uniform, self.config.dropout).to(self.device)

    def _to_float(self, images: Tensor) -> Tensor:
        return from_uint8(images.to(self.device), self.config.classifier.model.output)


def labelled_batches(data: ImagesAndLabels, config: SupervisedConfig, first_step: int = 0) -> Iterator[ImagesAndLabels]:
    """Training batches from a step on, without end."""
    images, labels = data
    for batch in batch_positions(len(labels), config.batch_size, seed=config.seed, first_step=first_step):
        yield images[batch], labels[batch]


def steps_per_epoch(samples: int, config: SupervisedConfig) -> int:
    """Batches of an epoch.

    Raises:
        InputError: a batch is larger than the data.
    """
    steps = samples // config.batch_size
    require(
        steps > 0,
        f"batch_size {config.batch_size} is more than the {samples} labelled images: lower it, or give more labels",
    )
    return steps


def measurement_epochs(config: SupervisedConfig, measurements: int) -> set[int]:
    """Epochs after which the validation error is measured: spread evenly, the last one always among them."""
    return {max(1, round(config.epochs * (i + 1) / measurements)) for i in range(measurements)}
