"""What a run will do and cost, before it starts."""

from collections.abc import Sequence

import torch
from torch import nn

from dcgan_dist.cli.prices import money_line
from dcgan_dist.cli.progress import duration, ranks_text
from dcgan_dist.config import TrainConfig, flatten
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.flops import FLOPS_PER_SECOND, step_flops_per_image
from dcgan_dist.models.generator import Generator
from dcgan_dist.runs.measurement_plan import measuring_share
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.storage.read_ahead import DEFAULT_CACHE_BYTES
from dcgan_dist.storage.uri import is_uri


def describe(plan: RunPlan) -> str:
    """The whole text of --dry-run."""
    config, shard_plan = plan.config, plan.shard_plan
    flops, memory = step_flops_per_image(config), rank_memory(config)
    unit = "GPU" if config.use_gpu else "CPU core"
    ranks = config.workers[1]
    generator, discriminator = (_count(network(config.model)) for network in (Generator, Discriminator))
    checkpoint, kept = checkpoint_bytes(config), config.keep_checkpoints + 1  # and the best
    cached = cache_bytes(config, plan.manifest.location, [shard.bytes for shard in plan.manifest.shards])
    lines = [
        "config",
        *(f"  {name} = {value!r}" for name, value in flatten(config).items()),
        "shard plan",
        f"  {shard_plan.samples:,} samples in {len(shard_plan.shard_samples)} shards"
        + (" after the keep list" if plan.keep_list else ""),
        f"  {shard_plan.steps_per_epoch:,} batches of {shard_plan.batch_size} per epoch from {shard_plan.streams} streams, "
        f"shuffled in windows of {shard_plan.window:,}",
        f"  rows per rank: {', '.join(str(len(shard_plan.rows(rank, ranks))) for rank in range(ranks))}",
        f"  manifest {plan.manifest.hash}",
        "run",
        f"  name {plan.name}, {plan.intervals.last:,} steps, {plan.images:,} images, a checkpoint every "
        f"{plan.intervals.save:,} steps",
        f"  parameters: generator {generator:,}, discriminator {discriminator:,}",
        f"  quality: {measurement_line(plan)}",
        f"  memory per rank: about {memory / 2**30:.2f} GiB for parameters, optimisers and activations",
        f"  checkpoint: about {checkpoint / 2**20:.0f} MiB each, {kept * checkpoint / 2**20:.0f} MiB with all that are kept",
        f"  cache: at most {cached / 2**20:,.0f} MiB on all nodes together"
        + ("" if cached else ", since shards are read where they lie"),
        f"  arithmetic: {flops / 1e9:.2f} GFLOP per image and step",
        f"estimate, from {FLOPS_PER_SECOND[unit] / 1e12:g} TFLOP/s on each of {ranks} x 1 {unit} (`plan` measures)",
        *(f"  {line}" for line in outlook(plan, FLOPS_PER_SECOND[unit] * ranks / flops)),
    ]
    return "\n".join(lines)


def measurement_line(plan: RunPlan) -> str:
    """How often quality is measured, on how many images, and what it costs."""
    measurements, config = plan.measurements, plan.config
    if not measurements.samples:
        return "not measured"
    share = measuring_share(plan.rank_config, measurements, plan.intervals)
    times = measurements.count(plan.intervals)
    short = measurements.samples < config.quality.samples or measurements.every > 1
    return (
        f"{measurements.samples:,} samples against {measurements.held_out:,} held-out images, "
        f"{'once' if times == 1 else f'{times} times'}, for {share:.1%} of the arithmetic"
        + (" (`quality.share=1` measures all that is asked for)" if short else "")
    )


def rank_memory(config: TrainConfig) -> float:
    """Bytes of one rank: weights, gradients and two Adam moments, and the activations that backward needs."""
    model = config.model
    size = 8 if config.dtype == "float64" else 4
    with torch.device("meta"), torch.no_grad():
        labels = torch.zeros(1, dtype=torch.int64) if model.classes else None
        generator, discriminator = Generator(model).eval(), Discriminator(model).eval()
        made = generator.layer_outputs(torch.empty(1, model.latent_dim), labels)
        scored = discriminator.layer_outputs(made["image"], labels)
        activations = sum(x.numel() for x in made.values()) + 3 * sum(x.numel() for x in scored.values())
    rows = config.data.batch_size / config.workers[0]
    # Each layer keeps its convolution's output, its normalised form and the activated one.
    return size * (4 * (_count(generator) + _count(discriminator)) + 3 * rows * activations)


def checkpoint_bytes(config: TrainConfig) -> float:
    """Bytes of a checkpoint: weights and two Adam moments of both networks, and the averaged generator."""
    with torch.device("meta"):
        generator, discriminator = _count(Generator(config.model)), _count(Discriminator(config.model))
    averaged = generator if config.ema_half_life_images else 0
    return (8 if config.dtype == "float64" else 4) * (3 * (generator + discriminator) + averaged)


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def outlook(plan: RunPlan, images_per_second: float) -> list[str]:
    """Speed, time, GPU hours and money of a whole run at a speed of all its ranks together."""
    config = plan.config
    ranks = config.workers[1]
    measuring = 1 + measuring_share(plan.rank_config, plan.measurements, plan.intervals)
    hours = measuring * plan.images / images_per_second / 3600
    epoch = measuring * plan.shard_plan.steps_per_epoch * config.data.batch_size / images_per_second
    gpus = ranks if config.use_gpu else 0
    return [
        f"speed: about {images_per_second:,.0f} images/s on {ranks_text(ranks)}",
        f"time: about {duration(epoch)} per epoch, {duration(hours * 3600)} in all, with measuring and without start-up",
        f"GPU hours: {gpus * hours:,.2f}",
        money_line(config.price, gpus, gpus * hours),
    ]


def cache_bytes(config: TrainConfig, location: str, shard_bytes: Sequence[int]) -> int:
    """Bytes of local caches on all nodes together: a bounded one for each process that reads shards behind a URI."""
    if not is_uri(location):
        return 0
    return config.workers[1] * max(1, config.data.loader_workers) * min(DEFAULT_CACHE_BYTES, sum(shard_bytes))
