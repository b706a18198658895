"""The coder of a de-duplication: the one in its folder, one that is given, or one fitted to the images."""

import json
import logging
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.cluster.tasks import map_tasks
from dcgan_dist.dedup.thumbnail_table import ThumbnailTable
from dcgan_dist.errors import InputError
from dcgan_dist.files import sha256_of
from dcgan_dist.models.autoencoder import Autoencoder, AutoencoderConfig
from dcgan_dist.models.latents import seeded
from dcgan_dist.similarity.coder_files import SETTINGS
from dcgan_dist.similarity.codes import Coder, load_coder
from dcgan_dist.similarity.paper_codes import PaperCoder, autoencoder_step
from dcgan_dist.similarity.recommended_codes import SAMPLE, fit_recommended
from dcgan_dist.training.distributed import gather_ranks
from dcgan_dist.training.loop import Intervals, Report, train

FIT_IMAGES = {"recommended": SAMPLE, "paper": 400_000}
"""Images that a coder is fitted to at most, drawn at random."""

_log = logging.getLogger(__name__)


def coder_hash(folder: Path) -> str:
    """SHA-256 over a coder's settings and the hash of its arrays, in hex."""
    return sha256_of(folder / SETTINGS)


def ready_coder(
    codes: str,
    given: str,
    target: Path,
    table: ThumbnailTable,
    rows: NDArray[np.int64],
    code_bits: int = 128,
    cpus: int = 1,
) -> Coder:
    """The coder in its folder; once there, it stays, so that codes of later shards fit those of earlier ones.

    Args:
        codes: kind of coder.
        given: folder of a coder to use; empty: none.
        target: folder of the coder.
        table: thumbnails.
        rows: that may be fitted to.
        code_bits: of a recommended coder.
        cpus: tasks at once that a recommended coder is fitted by, as in `run_tasks`.

    Raises:
        InputError: the given coder is damaged or of another kind or size, or the folder has another one already.
    """
    exists = (target / SETTINGS).exists()
    if given:
        coder = load_coder(Path(given))
        if coder.name != codes:
            raise InputError(f"`coder` {given} is a {coder.name} coder: add `codes` {coder.name}")
        if codes == "recommended" and coder.code_bits != code_bits:
            raise InputError(f"`coder` {given} has {coder.code_bits} bits: add `code_bits` {coder.code_bits}")
        if exists and coder_hash(target) != coder_hash(Path(given)):
            raise InputError(
                f"{target} is another coder than `coder` {given}: leave `coder` out, or choose another `out`"
            )
        coder.save(target)
    elif exists:
        try:
            return load_coder(target)
        except InputError as error:
            _log.warning("%s; this is done now", error)
    if not given:
        fit(codes, target, table, rows, code_bits, cpus)
    return load_coder(target)


def fit(codes: str, target: Path, table: ThumbnailTable, rows: NDArray[np.int64], code_bits: int, cpus: int) -> None:
    """Fit a coder to a random draw of the rows, the same on every call, and write it."""
    draw = np.random.default_rng(0).permutation(len(rows))[: FIT_IMAGES[codes]]
    drawn = np.sort(rows[draw])
    _log.info("fitting the %s coder to %s of %s images", codes, f"{len(drawn):,}", f"{len(rows):,}")
    if codes == "recommended":
        check_enough(len(drawn))
        map_blocks = partial(map_tasks, cpus=cpus)
        fit_recommended(table.gather(drawn), code_bits=code_bits, map_blocks=map_blocks).save(target)
    else:
        fit_paper_on_ray(target, table, drawn)


def check_enough(images: int) -> None:
    """Raise InputError where images are too few to fit the recommended coder to."""
    if images < 256:
        raise InputError(f"{images} images are too few to learn a code from: give at least 256, or `coder`")


def fit_paper_on_ray(target: Path, table: ThumbnailTable, rows: NDArray[np.int64]) -> None:
    """Train the paper's autoencoder with the loop of the GAN, in one Ray task (with a GPU where there is one).

    The network is so small that more ranks would wait for each other.
    """
    config = AutoencoderConfig()
    if len(rows) < config.batch_size:
        raise InputError(f"{len(rows)} images do not fill one batch of {config.batch_size}: give more, or `coder`")
    join_cluster()
    scratch = target.parent / ".autoencoder"
    scratch.mkdir(parents=True, exist_ok=True)
    progress = scratch / "progress.json"
    steps = config.epochs * (len(rows) // config.batch_size)
    has_gpu = bool(ray.cluster_resources().get("GPU"))
    task = ray.remote(num_gpus=int(has_gpu), max_retries=2)(train_autoencoder)
    training = task.remote(target, progress, table, rows, steps)
    with progress_bar(steps * config.batch_size, "autoencoder") as bar:
        while not ray.wait([training], timeout=0.5)[0]:
            try:
                bar.update(json.loads(progress.read_text())["images"] - bar.n)
            except (OSError, ValueError, KeyError):
                continue
    ray.get(training)
    shutil.rmtree(scratch, ignore_errors=True)


def train_autoencoder(target: Path, progress: Path, table: ThumbnailTable, rows: NDArray[np.int64], steps: int) -> None:
    """Train the autoencoder on the rows and save its coder.

    Args:
        target: folder of the coder.
        progress: file for the number of images seen so far.
        table: thumbnails.
        rows: to train on.
        steps: of the optimiser.
    """
    config = AutoencoderConfig()
    torch.set_num_threads(1)
    network = Autoencoder(config).to("cuda" if torch.cuda.is_available() else "cpu")

    def batches() -> Iterator[Tensor]:
        per_epoch = len(rows) // config.batch_size * config.batch_size
        epoch = 0
        while True:
            order = torch.randperm(len(rows), generator=seeded(config.seed, "order", epoch)).numpy()
            for start in range(0, per_epoch, config.batch_size):
                yield torch.from_numpy(table.gather(rows[order[start : start + config.batch_size]]))
            epoch += 1

    def report(means: Report) -> None:
        progress.write_text(json.dumps({"images": means.images_seen}))

    def save(step: int) -> None:
        if step == steps:
            PaperCoder(network=network.cpu()).save(target)

    train(
        autoencoder_step(network, config),
        batches(),
        Intervals(first=0, last=steps, report=max(1, steps // 200), save=steps),
        batch_size=config.batch_size,
        synchronise=gather_ranks,
        report=report,
        save=save,
    )
