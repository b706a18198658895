"""The coder of a de-duplication: the one in its folder, one that is given, or one fitted to the images."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.in_thread import InThread
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.config import from_dict
from dcgan_dist.dedup.make_shards import Say
from dcgan_dist.dedup.picture_table import PictureTable
from dcgan_dist.errors import InputError
from dcgan_dist.models.autoencoder import AutoencoderConfig
from dcgan_dist.models.latents import seeded
from dcgan_dist.similarity.coder_files import SETTINGS
from dcgan_dist.similarity.codes import Coder, load_coder
from dcgan_dist.similarity.paper_codes import PaperCoder, autoencoder_optimizer, autoencoder_step, new_autoencoder
from dcgan_dist.similarity.recommended_codes import SAMPLE, fit_recommended
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.loop import Intervals, Report, train

FIT_IMAGES = {"recommended": SAMPLE, "paper": 400_000}
"""Images that a coder is fitted to at most, drawn at random."""


def coder_hash(folder: Path) -> str:
    """SHA-256 over a coder's settings and the hash of its arrays, in hex."""
    return hashlib.sha256((folder / SETTINGS).read_bytes()).hexdigest()


def ready_coder(
    codes: str, given: str, folder: Path, table: PictureTable, rows: NDArray[np.int64], say: Say
) -> tuple[Coder, Path]:
    """The coder and its folder; once there, it stays, so that codes of later shards fit those of earlier ones.

    Args:
        codes: kind of coder.
        given: folder of a coder to use; empty: none.
        folder: of the results.
        table: thumbnails.
        rows: that may be fitted to.
        say: prints a line.

    Raises:
        InputError: the given coder is damaged or of another kind, or the folder has another one already.
    """
    own = folder / f"coder-{codes}"
    there = (own / SETTINGS).exists()
    if given:
        coder = load_coder(Path(given))
        if coder.name != codes:
            raise InputError(f"`coder` {given} is a {coder.name} coder: add `codes` {coder.name}")
        if there and coder_hash(own) != coder_hash(Path(given)):
            raise InputError(f"{own} is another coder than `coder` {given}: leave `coder` out, or choose another `out`")
        coder.save(own)
    elif there:
        try:
            return load_coder(own), own
        except InputError as error:
            say(f"warning: {error}; this is done now")
    if not given:
        fit(codes, own, table, rows, say)
    return load_coder(own), own


def fit(codes: str, own: Path, table: PictureTable, rows: NDArray[np.int64], say: Say) -> None:
    """Fit a coder to a random draw of the rows, the same on every call, and write it."""
    draw = np.random.default_rng(0).permutation(len(rows))[: FIT_IMAGES[codes]]
    chosen = np.sort(rows[draw])
    say(f"fitting the {codes} coder to {len(chosen):,} of {len(rows):,} images")
    if codes == "recommended":
        if len(chosen) < 256:
            raise InputError(f"{len(chosen)} images are too few to learn a code from: give at least 256, or `coder`")
        fit_recommended(table.gather(chosen)).save(own)
    else:
        fit_paper_on_ray(own, table, chosen)


def fit_paper_on_ray(own: Path, table: PictureTable, rows: NDArray[np.int64]) -> None:
    """Train the paper's autoencoder with the loop of the GAN, on one rank of Ray Train (a GPU where there is one).

    The network is so small that more ranks would wait for each other.
    """
    config = AutoencoderConfig()
    if len(rows) < config.batch_size:
        raise InputError(f"{len(rows)} images do not fill one batch of {config.batch_size}: give more, or `coder`")
    join_cluster()
    state = own.parent / ".autoencoder"
    state.mkdir(parents=True, exist_ok=True)
    steps = config.epochs * (len(rows) // config.batch_size)
    trainer = ray.train.torch.TorchTrainer(
        train_autoencoder,
        train_loop_config={"folder": str(own), "state": str(state), "table": table, "rows": rows, "steps": steps},
        scaling_config=ray.train.ScalingConfig(
            num_workers=1, use_gpu=bool(ray.cluster_resources().get("GPU")), resources_per_worker=None
        ),
        run_config=ray.train.RunConfig(
            name=f"autoencoder-{time.time_ns()}",
            storage_path=str(state),
            failure_config=ray.train.FailureConfig(max_failures=2, controller_failure_limit=3),
        ),
    )
    fitting = InThread(trainer.fit)
    with progress_bar(steps * config.batch_size, "autoencoder") as bar:
        while not fitting.done():
            time.sleep(0.5)
            try:
                bar.update(json.loads((state / "progress.json").read_text())["images"] - bar.n)
            except (OSError, ValueError, KeyError):
                continue
    if fitting.error is not None:
        raise fitting.error
    shutil.rmtree(state, ignore_errors=True)


def train_autoencoder(arguments: dict[str, Any]) -> None:
    """One rank: train on its rows of every batch, and let the first one save."""
    config = from_dict(AutoencoderConfig, {})
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(1)
    network = new_autoencoder(config, device)
    ranked = DistributedDataParallel(network) if world_size > 1 else network
    table, rows, steps = arguments["table"], arguments["rows"], arguments["steps"]

    def batches():
        per_epoch = len(rows) // config.batch_size * config.batch_size
        epoch = 0
        while True:
            order = torch.randperm(len(rows), generator=seeded(config.seed, "order", epoch)).numpy()
            for start in range(0, per_epoch, config.batch_size):
                mine = order[start : start + config.batch_size][rank::world_size]
                yield torch.from_numpy(table.gather(rows[mine]))
            epoch += 1

    def report(seen: Report) -> None:
        if rank == 0:
            (Path(arguments["state"]) / "progress.json").write_text(json.dumps({"images": seen.images_seen}))

    def save(step: int) -> None:
        if rank == 0 and step == steps:
            PaperCoder(network=network.cpu()).save(Path(arguments["folder"]))

    train(
        autoencoder_step(ranked, autoencoder_optimizer(network, config), config, rank=rank),
        batches(),
        Intervals(first=0, last=steps, report=max(1, steps // 200), save=steps),
        batch_size=config.batch_size,
        synchronise=gather_ranks,
        report=report,
        save=save,
    )
