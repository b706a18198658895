"""One step of a run: from uint8 batches and the step number to scalars."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from dcgan_dist.config import TrainConfig
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.training.augment import augmented, draw_augmentation
from dcgan_dist.training.engine import captured, memory_format, set_learning_rate
from dcgan_dist.training.players import Players
from dcgan_dist.training.schedule import learning_rate, phases
from dcgan_dist.training.step import StepResult, adversarial_step

DIVERSITY_ROWS = 128  # enough to see a collapse, and a vanishing share of a step's arithmetic

ImagesAndLabels = tuple[Tensor, Tensor | None]


def gan_step(
    config: TrainConfig, players: Players, *, rows: list[int], world_size: int, steps_per_epoch: int
) -> Callable[[int, ImagesAndLabels], dict[str, Tensor]]:
    """The step that `loop.train` takes.

    Args:
        config: the run's config.
        players: networks and optimisers that the step changes.
        rows: which rows of the global batch this rank holds, in the order of its batches.
        world_size: ranks over which gradients are averaged.
        steps_per_epoch: for the learning rate.

    Returns:
        (step number from 0, (uint8 images (b, c, s, s), labels (b,) or None)) -> scalars by metric name.
    """
    first = next(players.generator.parameters())
    device, dtype, layout = first.device, first.dtype, memory_format(config.engine)
    batch_size = config.data.batch_size
    ema_decay = 0.5 ** (batch_size / config.ema_half_life_images) if config.ema_half_life_images else 0.0
    rank_rows, rate = torch.tensor(rows), partial(learning_rate, steps_per_epoch=steps_per_epoch, batch_size=batch_size)

    def play(
        images: Tensor, z: Tensor, labels: Tensor | None, draws: Tensor | None, *, update_d: bool, update_g: bool
    ) -> dict[str, Tensor]:
        real = from_uint8(images, config.model.output, dtype).contiguous(memory_format=layout)
        result = adversarial_step(
            *(players, real, z, labels),
            row_weight=world_size / batch_size,
            update_d=update_d,
            update_g=update_g,
            r1=config.r1,
            augment=partial(augmented, draws=draws, config=config.augment, output=config.model.output),
        )
        players.update_ema(ema_decay)  # in every step, as its half life is in images
        # Ranks may hold unequal rows: their means count by them, so that the mean over ranks is that of the batch.
        return scalars(real, result, weight=len(images) * world_size / batch_size)

    plays = {
        (d, g): captured(partial(play, update_d=d, update_g=g), config, device)
        for d, g in {phases(config.schedule, number) for number in (0, 1)}
    }

    def step(number: int, batch: ImagesAndLabels) -> dict[str, Tensor]:
        images, labels = batch
        # Every rank draws the whole global z and keeps its rows, so that z does not depend on the number of ranks. Drawn in
        # main memory, it does not depend on the device either.
        z = draw_latents(config.model, batch_size, seeded(config.seed, "z", number))[rank_rows].to(dtype)
        draws = draw_augmentation(config, number)
        if device.type == "cuda":
            z = z.pin_memory()
        set_learning_rate(players.optimizer_d, rate(config.optimizer_d, number))
        set_learning_rate(players.optimizer_g, rate(config.optimizer_g, number))
        return plays[phases(config.schedule, number)](
            images.to(device, non_blocking=True),
            z.to(device, non_blocking=True),
            labels.to(device, non_blocking=True) if labels is not None and config.model.classes else None,
            None if draws is None else draws[rank_rows].to(device),
        )

    return step


def scalars(real: Tensor, result: StepResult, *, weight: float = 1.0) -> dict[str, Tensor]:
    """Metrics of a step by name, as docs/metrics.md explains them.

    Args:
        real: the real images of the step.
        result: logits, losses and samples of the step.
        weight: rows of this rank over the mean rows of a rank.
    """
    values = {
        "loss/d": result.d_loss,
        "loss/g": result.g_loss,
        "gradient_norm/d": result.gradient_norm_d,
        "gradient_norm/g": result.gradient_norm_g,
        "diversity/fake_to_real": diversity(result.fake) / diversity(real).clamp(min=1e-6),
    }
    if result.real_logits is not None and result.fake_logits is not None:
        values["score/real"] = weight * result.real_logits.sigmoid().mean()
        values["score/fake"] = weight * result.fake_logits.sigmoid().mean()
        right = torch.cat([result.real_logits > 0, result.fake_logits < 0])
        values["accuracy/d"] = weight * right.to(real.dtype).mean()
    return {name: value for name, value in values.items() if value is not None}


def diversity(images: Tensor) -> Tensor:
    """How far the images of a batch are from their nearest neighbour in it: the mean over images of that distance.

    Divided by the same of a real batch it is about 1 for a healthy generator, and goes to 0 both where all samples become
    one picture and where fewer different pictures are left than the batch has rows, which a variance would not see.

    Args:
        images: (b, c, s, s); the first 128 are compared.

    Returns:
        Scalar, Euclidean over all pixels; NaN for a single image would stop a run, so it is 1.
    """
    x = images[:DIVERSITY_ROWS].flatten(1).float()
    if len(x) < 2:
        return x.new_ones(())
    x = x - x.mean(0)  # the products below then cancel less
    squares = x.square().sum(1)
    distances = (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp(min=0)
    return distances.fill_diagonal_(torch.inf).amin(1).sqrt().mean()
