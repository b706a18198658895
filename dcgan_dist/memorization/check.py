"""The memorization check: samples, training and held-out images compared in three spaces, and a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.memorization.copying import (
    Calibration,
    CopyRate,
    calibrate,
    clopper_pearson,
    copy_rate,
    detection_limit,
)
from dcgan_dist.memorization.data_copying import DataCopying, data_copying
from dcgan_dist.memorization.distances import (
    authenticity,
    band_half_width,
    cell_of,
    count_hubs,
    largest_gap,
    make_cells,
    mann_whitney,
)
from dcgan_dist.memorization.nearest_images import SPACES, Nearest, Pixels, _search, find_nearest
from dcgan_dist.memorization.planted_copies import KINDS, plant
from dcgan_dist.memorization.verdict import Verdict, decide
from dcgan_dist.similarity import verifier
from dcgan_dist.similarity.codes import Coder
from dcgan_dist.similarity.recommended_codes import fit_recommended

PLANTED = 600
AUTHENTICITY = 2000
"""Images of each set for the authenticity in pixels, which needs a search of its own."""
FITTED = 20_000
"""Images that the code is learnt from."""
MOST_IN_CELLS = 60_000
"""Training images that the data-copying test compares with, at most."""
PER_CELL, MOST_CELLS = 250, 20


@dataclass(kw_only=True, slots=True)
class Memorization:
    """All that was found."""

    verdict: Verdict
    statistics: dict[str, Any]
    samples: Nearest
    held_out: Nearest
    duplicates: NDArray[np.bool_]
    """Which held-out images are near duplicates of training images."""
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """The job's result."""
        return {"verdict": self.verdict.verdict, "reasons": list(self.verdict.reasons), **self.statistics}


def learn_coder(train: Pixels, held_out: Pixels, *, seed: int = 0) -> Coder:
    """The code of a check, and with it the learned features.

    From training and held-out images alike: features learnt from training images alone would know them better, and samples
    that copy nothing would seem to know them too.

    Args:
        train: (t, 3, 32, 32), with the held-out images at least 9.
        held_out: (p, 3, 32, 32).
        seed: of the choice of images, where there are many.
    """
    pool = np.concatenate([train, held_out])
    chosen = np.random.default_rng(seed).permutation(len(pool))[:FITTED]
    return fit_recommended(pool[chosen], code_bits=min(128, (len(chosen) - 1) // 8 * 8))


def check_memorization(
    samples: Pixels,
    train: Pixels,
    held_out: Pixels,
    coder: Coder,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Memorization:
    """Compare thumbnails (n, 3, 32, 32) of samples, training images and held-out images.

    Args:
        samples, train: at least 1 and at least 2.
        held_out: drawn as the training images were; may be none, which leaves the verdict inconclusive.
        coder: of `learn_coder`.
        seed: of planted copies, cells and permutations.
        say: told what is being done.
    """
    began, rng = time.monotonic(), np.random.default_rng(seed)

    def tell(line: str) -> None:
        say(f"{time.monotonic() - began:6.0f} s  {line}")

    planted, kinds = plant(train[rng.permutation(len(train))[:PLANTED]], seed=seed)
    tell(f"looking for the nearest of {len(train):,} training images")
    nearest = find_nearest(np.concatenate([samples, held_out, planted]), train, coder, tell)
    of_samples, of_held_out = nearest.part(slice(len(samples))), nearest.part(slice(len(samples), -len(planted)))
    planted_scores = nearest.scores[-len(planted) :]
    duplicates = of_held_out.scores >= verifier.THRESHOLD
    distinct = ~duplicates
    calibration = calibrate(of_held_out.scores, distinct, planted_scores, len(samples)) if len(held_out) else None
    rate = copy_rate(of_samples.scores, calibration) if calibration else None
    copying = _data_copying(samples, train, held_out, coder, seed, tell) if len(held_out) else None
    statistics: dict[str, Any] = {
        "samples": len(samples),
        "train": len(train),
        "held_out": len(held_out),
        "near_duplicates_removed": int(duplicates.sum()),
        "held_out_kept": int(distinct.sum()),
        "code": coder.name,
        "verifier_threshold": float(verifier.THRESHOLD),
        "seed": seed,
        "planted": planted_by_kind(calibration, planted_scores, kinds) if calibration else {},
        **_of_copies(rate, calibration, copying),
    }
    tell("comparing distances")
    statistics["spaces"] = {
        space: _compare(space, of_samples, of_held_out.part(distinct), (samples, held_out[distinct], train), coder)
        for space in SPACES
    }
    statistics["seconds"] = round(time.monotonic() - began, 1)
    return Memorization(
        verdict=decide(int(distinct.sum()), int(duplicates.sum()), rate, calibration, copying),
        statistics=statistics,
        samples=of_samples,
        held_out=of_held_out,
        duplicates=duplicates,
        calibration=calibration,
    )


def _of_copies(rate: CopyRate | None, calibration: Calibration | None, copying: DataCopying | None) -> dict[str, Any]:
    """What the two tests for copies measured, as it is written; None where there were no held-out images."""
    return {
        "copy_rate": asdict(rate) if rate else None,
        "calibration": asdict(calibration) if calibration else None,
        "detection_limit": calibration.limit if calibration else None,
        "c_t": asdict(copying) if copying else None,
    }


def planted_by_kind(
    calibration: Calibration, scores: NDArray[np.float32], kinds: NDArray[np.int64]
) -> dict[str, dict[str, float | None]]:
    """Share recognised and detection limit of each kind of planted copy."""
    found = {}
    for number, name in enumerate(KINDS):
        recognised = float((scores[kinds == number] > calibration.threshold).mean())
        background = calibration.held_out_copies / calibration.held_out
        limit = detection_limit(calibration.samples, calibration.critical, recognised, background)
        found[name] = {"recognised": recognised, "detection_limit": limit}
    return found


def _data_copying(
    samples: Pixels, train: Pixels, held_out: Pixels, coder: Coder, seed: int, tell: Callable[[str], None]
) -> DataCopying | None:
    tell("testing for copies by cell (C_T)")
    rng = np.random.default_rng(seed)
    if len(train) > MOST_IN_CELLS:
        train = train[np.sort(rng.permutation(len(train))[:MOST_IN_CELLS])]
    of_samples, of_train, of_held_out = (coder.embed(images) for images in (samples, train, held_out))
    count = min(len(samples), len(held_out)) // PER_CELL
    centres = make_cells(np.concatenate([of_train, of_held_out]), max(1, min(MOST_CELLS, count)), seed=seed)
    return data_copying(
        of_samples,
        of_train,
        of_held_out,
        cell_of(of_samples, centres),
        cell_of(of_train, centres),
        cell_of(of_held_out, centres),
        seed=seed,
    )


def _compare(
    space: str, samples: Nearest, held_out: Nearest, images: tuple[Pixels, Pixels, Pixels], coder: Coder
) -> dict[str, Any]:
    """Distances of samples beside those of held-out images in one space."""
    of_samples, of_held_out = samples.distances[space], held_out.distances[space]
    quantiles = (0.001, 0.01, 0.05, 0.5, 0.95)
    hubs = count_hubs(samples.ids[space])
    found: dict[str, Any] = {
        "samples_quantiles": dict(zip(map(str, quantiles), np.quantile(of_samples, quantiles).tolist(), strict=True)),
        "hubs": asdict(hubs),
        "band_half_width": {"samples": band_half_width(len(of_samples))},
    }
    if not len(of_held_out):
        return found
    gap, at = largest_gap(of_samples, of_held_out)
    threshold = float(np.sort(of_held_out)[int(0.001 * len(of_held_out))])
    copies = int((of_samples < threshold).sum())
    of_some = [
        _authenticity(space, nearest, part, images[2], coder)
        for nearest, part in zip((samples, held_out), images[:2], strict=True)
    ]
    few = count_hubs(held_out.ids[space])
    found["band_half_width"]["held_out"] = band_half_width(len(of_held_out))
    return found | {
        "held_out_quantiles": dict(zip(map(str, quantiles), np.quantile(of_held_out, quantiles).tolist(), strict=True)),
        "mann_whitney": asdict(mann_whitney(of_samples, of_held_out)),
        "largest_ecdf_gap": {"gap": gap, "at": at},
        "nearer_than_threshold": {
            "threshold": threshold,
            "copies": copies,
            "rate": copies / len(of_samples),
            "interval": clopper_pearson(copies, len(of_samples)),
        },
        "authenticity": {"samples": of_some[0], "held_out": of_some[1], "difference": of_some[0] - of_some[1]},
        "hubs_of_held_out": asdict(few),
    }


def _authenticity(space: str, nearest: Nearest, images: Pixels, train: Pixels, coder: Coder) -> float:
    rows = np.linspace(0, len(images) - 1, min(len(images), AUTHENTICITY)).astype(int)
    own, ids = nearest.distances[space][rows], nearest.ids[space][rows]
    hit, back = np.unique(ids, return_inverse=True)
    distances, found = _search(space, train[hit], train, coder, min(2, len(train)))
    # The image itself is one of the two, unless it has several equals.
    other = np.where(found[:, 0] == hit, distances[:, -1], distances[:, 0])
    return authenticity(own, other[back])
