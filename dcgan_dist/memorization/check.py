"""The memorization check: samples, training and held-out images compared in three spaces, and a verdict."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import require
from dcgan_dist.memorization.check_options import Crop
from dcgan_dist.memorization.copying import Calibration, calibrate, copy_rate, detection_limit
from dcgan_dist.memorization.data_copying import DataCopying, data_copying
from dcgan_dist.memorization.encoded_images import EncodedImages, Thumbnails
from dcgan_dist.memorization.image_sets import RealImages, read_image_set
from dcgan_dist.memorization.image_sources import ImageSource
from dcgan_dist.memorization.nearest_images import SPACES, Nearest, find_nearest
from dcgan_dist.memorization.planted_copies import KINDS, plant
from dcgan_dist.memorization.row_file import ArrayOrFile
from dcgan_dist.memorization.space_statistics import compare_distances
from dcgan_dist.memorization.verdict import Verdict, decide
from dcgan_dist.similarity import verifier
from dcgan_dist.similarity.codes import Coder
from dcgan_dist.similarity.recommended_codes import fit_recommended

PLANTED = 600
FITTED = 20_000
"""Images that the code is learnt from."""
PER_CELL, MOST_CELLS = 250, 20

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Memorization:
    """Everything that a check measured."""

    verdict: Verdict
    statistics: dict[str, Any]
    samples: Nearest
    held_out: Nearest
    duplicates: NDArray[np.bool_]
    """(p,) which held-out images are near duplicates of training images."""
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """The job's result."""
        return {"verdict": self.verdict.verdict, "reasons": list(self.verdict.reasons), **self.statistics}


def check_memorization(
    samples: ImageSource | Sequence[ImageSource],
    train: ImageSource | Sequence[ImageSource],
    held_out: ImageSource | Sequence[ImageSource] = (),
    *,
    seed: int = 0,
    crop: Crop = "resize",
    flip: bool = False,
) -> Memorization:
    """Tell whether a generator copies its training images: pass, fail or inconclusive, with reasons and figures.

    >>> from dcgan_dist import check_memorization, sample_images
    >>> samples = sample_images("models:/dcgan-rooms-generator@candidate", 100)
    >>> memorization = check_memorization(samples, train="shards/rooms", held_out="shards/rooms")
    >>> assert memorization.verdict.verdict in ("pass", "fail", "inconclusive")

    All images become squares of the samples' size and then thumbnails, so that they may have any size.

    Args:
        samples: images that the generator drew: an array or tensor (n, c, h, w) of uint8, shards (folder, manifest or URI),
            folders, tars or zips of images, or .npy or .npz files; one or several of these.
        train: at least 9 images that it was trained on, in the same forms; of shards with splits "train" is taken.
        held_out: images of the same source that it has not seen; of shards with splits what is not "train". Without any
            the verdict is inconclusive.
        seed: of planted copies, cells and permutations.
        crop: how images become squares: "resize" brings the shorter side to the samples' size and cuts the centre out,
            "centre" only cuts.
        flip: whether training mirrored images, so that mirrored ones are copies too.

    Raises:
        InputError: images that are missing, unreadable or too few, or a negative seed.
    """
    require(seed >= 0, f"`seed` {seed} must not be negative")
    real = RealImages(train, held_out)
    sample_set = read_image_set(samples, "samples")
    train_set, held_out_set, doubt = real.read(side=sample_set.side, crop=crop)
    sets = sample_set.images, train_set.images, held_out_set.images
    coder = learn_coder(*sets[1:], seed=seed)
    return check_thumbnails(*sets, coder, seed=seed, flip=flip, doubts=[doubt] if doubt else [])


def learn_coder(train: Thumbnails, held_out: Thumbnails, *, seed: int = 0) -> Coder:
    """The code of a check, and with it the learned features.

    From training and held-out images alike: features learnt from training images alone would know them better, and samples
    that copy nothing would seem to know them too. Together they are at least 9 thumbnails (n, 3, 32, 32); where there are
    many, the seed decides which of them are learnt from.
    """
    chosen = np.random.default_rng(seed).permutation(len(train) + len(held_out))[:FITTED]
    _log.info("learning a code from %s images", f"{len(chosen):,}")
    images = np.empty((len(chosen), *train.shape[1:]), np.uint8)
    of_train = chosen < len(train)
    images[of_train], images[~of_train] = train[chosen[of_train]], held_out[chosen[~of_train] - len(train)]
    return fit_recommended(images, code_bits=min(128, (len(chosen) - 1) // 8 * 8))


def check_thumbnails(
    samples: Thumbnails,
    train: Thumbnails,
    held_out: Thumbnails,
    coder: Coder,
    *,
    seed: int = 0,
    flip: bool = False,
    doubts: Sequence[str] = (),
) -> Memorization:
    """Compare thumbnails (n, 3, 32, 32) of at least 1 sample, at least 2 training images, and held-out images.

    The latter were drawn as the training images were; there may be none, which leaves the verdict inconclusive, as further
    `doubts` do. The coder comes from `learn_coder`; the seed is that of planted copies, cells and permutations. With `flip`
    every image is looked for as it is and mirrored, and the nearer one counts.
    """
    began, rng = time.monotonic(), np.random.default_rng(seed)
    planted, kinds = plant(train[rng.permutation(len(train))[:PLANTED]], seed=seed)
    _log.info("looking for the nearest of %s training images", f"{len(train):,}")
    encoded = EncodedImages.of(train, coder)
    queries = np.concatenate([samples[:], held_out[:], planted])
    nearest, features = _search(queries, encoded, coder, seed if flip else None)
    drawn, held = slice(len(samples)), slice(len(samples), -len(planted))
    of_samples, of_held_out, planted_scores = nearest[drawn], nearest[held], nearest.scores[-len(planted) :]
    duplicates = of_held_out.scores >= verifier.THRESHOLD
    distinct = ~duplicates

    calibration = rate = copying = None
    if len(held_out):
        calibration = calibrate(of_held_out.scores, distinct, planted_scores, len(samples))
        rate = copy_rate(of_samples.scores, calibration)
        copying = _test_by_cell(features[drawn], encoded.features, features[held], seed)
    _log.info("comparing distances")
    spaces = {space: compare_distances(space, of_samples, of_held_out[distinct], encoded) for space in SPACES}
    statistics = {
        "samples": len(samples),
        "train": len(train),
        "held_out": len(held_out),
        "near_duplicates_removed": int(duplicates.sum()),
        "held_out_kept": int(distinct.sum()),
        "code": coder.name,
        "verifier_threshold": float(verifier.THRESHOLD),
        "flip": flip,
        "seed": seed,
        "planted": planted_by_kind(calibration, planted_scores, kinds) if calibration else {},
        "copy_rate": asdict(rate) if rate else None,
        "calibration": asdict(calibration) if calibration else None,
        "detection_limit": calibration.limit if calibration else None,
        "c_t": asdict(copying) if copying else None,
        "spaces": spaces,
        "seconds": round(time.monotonic() - began, 1),
    }
    return Memorization(
        verdict=decide(int(distinct.sum()), int(duplicates.sum()), rate, calibration, copying, doubts),
        statistics=statistics,
        samples=of_samples,
        held_out=of_held_out,
        duplicates=duplicates,
        calibration=calibration,
    )


def _search(
    images: NDArray[np.uint8], train: EncodedImages, coder: Coder, flip_seed: int | None
) -> tuple[Nearest, NDArray[np.float32]]:
    """Nearest training images, and features (n, code_bits).

    With a seed the images are looked for mirrored too, and features are of each image as it is or mirrored, at random: so those
    of samples and held-out images stay comparable, and as many as there are images.
    """
    queries = EncodedImages.of(images, coder)
    nearest = find_nearest(queries, train)
    if flip_seed is None:
        return nearest, queries.features[:]
    _log.info("looking for them mirrored")
    mirrored = EncodedImages.of(np.ascontiguousarray(images[..., ::-1]), coder)
    turned = np.random.default_rng(flip_seed).random((len(images), 1)) < 0.5
    return nearest.or_nearer(find_nearest(mirrored, train)), np.where(turned, mirrored.features[:], queries.features[:])


def planted_by_kind(
    calibration: Calibration, scores: NDArray[np.float32], kinds: NDArray[np.int64]
) -> dict[str, dict[str, float | None]]:
    """Share recognised and detection limit of each kind of planted copy."""
    figures = {}
    for number, name in enumerate(KINDS):
        recognised = float((scores[kinds == number] > calibration.threshold).mean())
        background = calibration.held_out_copies / calibration.held_out
        limit = detection_limit(calibration.samples, calibration.critical, recognised, background)
        figures[name] = {"recognised": recognised, "detection_limit": limit}
    return figures


def _test_by_cell(
    samples: NDArray[np.float32], train: ArrayOrFile[np.float32], held_out: NDArray[np.float32], seed: int
) -> DataCopying | None:
    _log.info("testing for copies by cell (C_T)")
    cells = max(1, min(MOST_CELLS, min(len(samples), len(held_out)) // PER_CELL))
    return data_copying(samples, train, held_out, cells=cells, seed=seed)
