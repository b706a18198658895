"""From the checkpoint of a run to networks for use: standing statistics, snapshot, registry."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import ray
import torch
from torch import Tensor

from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.registry.model_card import model_card
from dcgan_dist.registry.promotion_gate import MEASURED
from dcgan_dist.registry.registry import register_network
from dcgan_dist.runs.plan import RunPlan, run_batches
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.schedule import updates
from dcgan_dist.training.whole_checkpoint import Progress, load_checkpoint, save_checkpoint


def make_snapshot(plan: RunPlan, checkpoint: Path, snapshot: Path) -> Progress:
    """Measure standing statistics of a checkpoint's networks and keep both as a folder like a checkpoint.

    The generator's (the averaged one where there is one) come from the prior of z, the discriminator's from real training
    images.

    Args:
        plan: of the run.
        checkpoint: folder of a checkpoint.
        snapshot: folder to write.
    """
    config = plan.config
    device = "cuda" if config.use_gpu and torch.cuda.is_available() else "cpu"
    _, progress, state = load_checkpoint(checkpoint, device=device)
    dtype = getattr(torch, config.dtype)

    generator = Generator(config.model).to(device, dtype)
    generator.load_state_dict(state.get("generator_ema", state["generator"]))
    batches, batch_size = config.snapshot_batches, config.data.batch_size
    prior = prior_batches(
        config.model, batches=batches, batch_size=batch_size, seed=config.seed, device=device, dtype=dtype
    )
    restandardise(generator, prior)

    discriminator = Discriminator(config.model).to(device, dtype)
    discriminator.load_state_dict(state["discriminator"])
    restandardise(discriminator, _real_batches(plan, batches, device, dtype))

    networks = {"generator": generator.state_dict(), "discriminator": discriminator.state_dict()}
    save_checkpoint(snapshot, plan.rank_config, progress, networks)
    return progress


def _real_batches(plan: RunPlan, count: int, device: str, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor | None]]:
    model = plan.config.model
    with closing(run_batches(plan)) as stream:
        for images, labels in islice(stream, count):
            labels = labels.to(device) if model.classes and labels is not None else None
            yield from_uint8(images.to(device), model.output, dtype), labels


@ray.remote
def snapshot_task(plan: RunPlan, checkpoint: str) -> str:
    """`make_snapshot` where a rank could run, which is not where the driver runs; returns the folder in the storage."""
    folder = RunFolder(plan.config.storage, plan.name)
    with scratch_folder() as scratch:
        local = scratch / "snapshot"
        make_snapshot(plan, folder.fetch(checkpoint, scratch), local)
        return folder.put(local, "snapshot")


def register_snapshot(
    plan: RunPlan, run: TrackedRun, snapshot: Path, quality: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """Register both networks of a snapshot with the alias @candidate.

    Returns:
        "generator" and "discriminator" -> name, version and uri in the registry.
    """
    config, progress, state = load_checkpoint(snapshot)
    updates_d, updates_g = updates(config.schedule, progress.step)
    registered: dict[str, dict[str, Any]] = {}
    networks: tuple[tuple[Literal["generator", "discriminator"], type[Generator | Discriminator]], ...] = (
        ("generator", Generator),
        ("discriminator", Discriminator),
    )
    for kind, network_class in networks:
        network = network_class(config.model).to(dtype=getattr(torch, config.dtype)).eval()
        network.load_state_dict(state[kind])
        name = f"dcgan-{config.dataset}-{kind}"
        card = model_card(
            kind=kind,
            name=name,
            config=config,
            images_seen=progress.images_seen,
            updates=(updates_d, updates_g),
            manifest_hash=plan.manifest.hash,
            quality=quality,
        )
        tags = {"manifest_hash": plan.manifest.hash, "preset": config.preset, "images_seen": str(progress.images_seen)}
        tags |= {MEASURED: str(plan.measurements)}
        version = register_network(run, network, name, card=card, tags=tags, images_seen=progress.images_seen)
        registered[kind] = {"name": name, "version": version.version, "uri": version.uri}
    return registered
