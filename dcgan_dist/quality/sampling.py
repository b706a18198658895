"""Images from a generator: the same ones for a seed, however many are asked for and in whatever batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from dcgan_dist.errors import InputError, require
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.quality.pictures import save_grid, to_uint8

DRAW = 64  # rows of z per draw: a draw's length changes how torch consumes its generator


def fixed_latents(generator: Generator, start: int, stop: int, *, seed: int) -> tuple[Tensor, Tensor | None]:
    """z and labels of samples start..stop of a seed, on the generator's device.

    Sample i is a function of (seed, i). Labels take turns, so that a grid with as many columns as classes shows one class
    per column.

    Returns:
        (stop - start, latent_dim) in the generator's dtype; (stop - start,) int64, None where there are no classes.
    """
    config, weight = generator.config, next(generator.parameters())
    first, last = start // DRAW, -(-stop // DRAW)
    draws = [draw_latents(config, DRAW, seeded(seed, "samples", block)) for block in range(first, last)]
    z = torch.cat(draws)[start - first * DRAW : stop - first * DRAW] if draws else torch.empty(0, config.latent_dim)
    labels = torch.arange(start, stop, device=weight.device) % config.classes if config.classes else None
    return z.to(weight.device, weight.dtype), labels


def in_turn(classes: Sequence[int], n: int) -> list[int] | None:
    """Labels of n samples for which some classes take turns; None, as for all of them, where none is named."""
    return [classes[i % len(classes)] for i in range(n)] if classes else None


def sample_batches(
    generator: Generator,
    n: int,
    *,
    seed: int,
    batch_size: int = 64,
    mode: Literal["standing", "batch"] = "standing",
    start: int = 0,
    labels: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """The n samples of a seed in batches, on the generator's device; its mode is as before after each batch.

    Every batch is computed in full and then cut to what is needed, so the first 16 of 64 are, bit by bit, the 16 that
    n=16 gives.

    Args:
        generator: with standing statistics, unless mode is "batch".
        n: number of images.
        seed: any integer; no other random state is used or changed.
        batch_size: rows computed together.
        mode: "standing" uses the standing statistics, so that no image depends on its neighbours; "batch" the statistics
            of each batch of batch_size, as the paper samples.
        start: number of the first sample, a multiple of batch_size; those before it are not made.
        labels: class of each of the n samples; None: classes take turns.

    Yields:
        (b, c, s, s) with b up to batch_size, in [-1, 1], or [0, 1] with a sigmoid.
    """
    assert start % batch_size == 0, (start, batch_size)
    if labels is not None:
        _check_classes(generator, n, labels)
    for first in range(start, n, batch_size):
        z, classes = fixed_latents(generator, first, first + batch_size, seed=seed)
        if classes is not None and labels is not None:
            given = torch.as_tensor(labels[first : first + batch_size])
            classes[: len(given)] = given
        was_training = generator.training
        generator.train(mode == "batch")
        try:
            with torch.no_grad():
                images = generator(z, classes)
        finally:
            generator.train(was_training)
        yield images[: n - first]


def _check_classes(generator: Generator, n: int, labels: Sequence[int]) -> None:
    classes = generator.config.classes
    require(classes > 0, "this generator has no classes: give no labels")
    require(
        len(labels) == n and all(0 <= label < classes for label in labels),
        f"{len(labels)} labels for {n} images of a generator with {classes} classes: give {n} numbers from 0 to {classes - 1}",
    )


def sample_images(
    generator: Generator,
    n: int,
    *,
    seed: int,
    batch_size: int = 64,
    mode: Literal["standing", "batch"] = "standing",
    labels: Sequence[int] | None = None,
) -> Tensor:
    """The n samples of a seed, (n, c, s, s) on the CPU; otherwise as `sample_batches`."""
    batches = sample_batches(generator, n, seed=seed, batch_size=batch_size, mode=mode, labels=labels)
    return torch.cat([batch.cpu() for batch in batches])


def save_samples(
    generator: Generator,
    out: str | Path,
    *,
    n: int,
    seed: int,
    mode: Literal["standing", "batch"] = "standing",
    each: bool = False,
    labels: Sequence[int] | None = None,
) -> None:
    """Write the n samples of a seed as one grid, or as one PNG per image.

    Args:
        generator: as for `sample_batches`.
        out: PNG file of the grid; with `each` a folder, which is made, for 000000.png and so on.
        n: number of images, at least 1.
        seed: any integer.
        mode: as for `sample_batches`.
        each: a file per image.
        labels: as for `sample_batches`.

    Raises:
        InputError: the place cannot be written, or labels that do not fit the generator.
    """
    out, output = Path(out), generator.config.output
    batches = sample_batches(generator, n, seed=seed, mode=mode, labels=labels)
    try:
        if not each:
            save_grid(torch.cat([batch.cpu() for batch in batches]), out, output=output)
            return
        out.mkdir(parents=True, exist_ok=True)
        images = (image for batch in batches for image in to_uint8(batch, output).cpu())
        for number, image in enumerate(images):  # a grey one without its axis of colours
            Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(out / f"{number:06}.png", format="PNG")
    except OSError as error:
        raise InputError(f"`out` {out} cannot be written ({error.strerror}): name another place") from error
