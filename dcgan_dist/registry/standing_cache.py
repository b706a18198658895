"""Standing statistics of generators that came without: measured once, and kept in the user's cache."""

import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.files import content_hash, private_folder
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.training.whole_checkpoint import state_sha256

BATCHES, BATCH_SIZE = 100, 128
VERSION = 1
"""Raised where the same weights would give other statistics."""
CACHE = Path(".cache", "dcgan_dist", "standing")
"""Folder of what was measured, in the home folder."""

_log = logging.getLogger(__name__)


def with_standing_statistics(generator: Generator) -> Generator:
    """Set a generator's standing statistics, over 100 batches of 128 z of a fixed seed or from the cache, and eval mode.

    What is cached is found by the hash of all weights and of the config, so that another network never takes it; a file
    that does not fit, or holds what no measurement gives, is measured again.
    """
    parts = [VERSION, BATCHES, BATCH_SIZE, asdict(generator.config)]
    key = content_hash([*parts, state_sha256({"generator": dict(generator.named_parameters())})])
    path = private_folder(Path.home() / CACHE) / f"{key}.safetensors"
    if _restore(generator, path):
        return generator.eval()
    _log.info("this checkpoint has no standing statistics yet: they are measured once, and kept in %s", path.parent)
    restandardise(generator, _batches(generator))
    try:
        unfinished = path.with_suffix(f".{os.getpid()}")  # two processes may measure at once
        save_file(_statistics(generator), unfinished)
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        _log.warning("the standing statistics could not be kept (%s)", error)
    return generator


def _batches(generator: Generator) -> Iterator[tuple[Tensor, Tensor | None]]:
    dtype = next(generator.parameters()).dtype
    size = {"batches": BATCHES, "batch_size": BATCH_SIZE}
    with progress_bar(BATCHES * BATCH_SIZE, "standing statistics") as bar:
        for batch in prior_batches(generator.config, **size, seed=0, device="cpu", dtype=dtype):
            yield batch
            bar.update(BATCH_SIZE)


def _statistics(generator: Generator) -> dict[str, Tensor]:
    """Means and variances by their names in the state dict."""
    norms = {name: module for name, module in generator.named_modules() if isinstance(module, BatchNorm)}
    return {f"{name}.{field}": getattr(norm, field) for name, norm in norms.items() for field in ("mean", "variance")}


def _restore(generator: Generator, path: Path) -> bool:
    """Whether a file held statistics that fit, which the generator now has."""
    try:
        cached = load_file(path)
    except (OSError, ValueError, SafetensorError):
        return False
    wanted = _statistics(generator)
    fits = cached.keys() == wanted.keys() and all(
        value.shape == wanted[name].shape
        and value.dtype == wanted[name].dtype
        and bool(torch.isfinite(value).all())
        and (name.endswith(".mean") or bool((value >= 0).all()))
        for name, value in cached.items()
    )
    for name, value in cached.items() if fits else ():
        wanted[name].copy_(value)
    return fits
