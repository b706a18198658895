"""python -m dcgan_dist.bench memorization: how often the memorization check is wrong, and how often it finds copies.

The data-copying test on drawn features (five clusters in eight dimensions): its false alarms with samples that are like
held-out images and with smooth ones, also where held-out images were not drawn as training images were, and its power, also
where samples that are no copies lie far from images. With --samples, --train and --held-out, which all are real images that
no generator made, the false alarms of the copy rate over random exchanges of samples and held-out images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.bench.harness import Benchmark
from dcgan_dist.memorization.check import PLANTED, learn_coder
from dcgan_dist.memorization.copying import calibrate, clopper_pearson, copy_rate
from dcgan_dist.memorization.data_copying import SIGNIFICANT, DataCopying, data_copying
from dcgan_dist.memorization.encoded_images import EncodedImages
from dcgan_dist.memorization.image_sets import read_image_set
from dcgan_dist.memorization.nearest_images import find_nearest
from dcgan_dist.memorization.planted_copies import plant
from dcgan_dist.similarity import verifier

Features = NDArray[np.float32]
SAMPLES, TRAIN, HELD_OUT, CELLS = 100, 200, 100, 2
SHARES = (0.05, 0.1, 0.2, 0.4)
"""Shares of samples that are near copies of training images."""
WIDE = (1.25, 1.5)
"""How far samples lie from the middle of their cluster, where held-out images lie at 1."""
REPEATED, SHIFTED = (0.1, 0.3), (0.35, 0.5)
"""Shares of training images that are near copies of others, and distances, in each of eight dimensions, of held-out images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options(Benchmark):
    """What is measured."""

    trials: int = 4000
    """Draws under the null; a tenth of it for the power of each share of copies."""
    splits: int = 1000
    """Random exchanges of real images."""
    samples: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()


def measure(options: Options) -> dict[str, Any]:
    """Errors of the data-copying test on drawn features, and with --samples of the copy rate on real images."""
    return {"c_t": drawn(options.trials)} | ({"copy_rate": exchanged(options)} if options.samples else {})


def drawn(trials: int) -> dict[str, Any]:
    """False alarms and power of the data-copying test."""
    cases = {"smooth": {"spread": 0.5}}
    cases |= {f"{share:.0%} of training images repeated": {"repeated": share} for share in REPEATED}
    cases |= {f"held-out images shifted by {distance}": {"shifted": distance} for distance in SHIFTED}
    cases |= {f"{share:.0%} copies": {"copied": share} for share in SHARES}
    cases |= {f"40% copies, the others {spread} times as wide": {"copied": 0.4, "spread": spread} for spread in WIDE}
    alike = "like held-out images"
    return {alike: _outcomes(alike, trials)} | {name: _outcomes(name, trials // 10, **c) for name, c in cases.items()}


def _outcomes(
    name: str, trials: int, *, spread: float = 1.0, copied: float = 0.0, repeated: float = 0.0, shifted: float = 0.0
) -> dict[str, Any]:
    """Shares of trials; of the samples some are copies, of the training images some are near copies of others."""
    rng = np.random.default_rng(0)
    ours = failed = published = permuted = 0
    for trial in tqdm(range(trials), desc=name):
        train = _draw(rng, TRAIN)
        train[: round(repeated * TRAIN)] = _near(rng, train[round(repeated * TRAIN) :], round(repeated * TRAIN))
        samples = _draw(rng, SAMPLES, spread)
        copies = rng.permutation(SAMPLES)[: round(copied * SAMPLES)]
        samples[copies] = _near(rng, train, len(copies))
        test = _test(samples, train, _draw(rng, HELD_OUT) + np.float32(shifted), trial)
        ours += test.significant
        failed += test.significant and test.exchangeable
        published += test.p_normal <= SIGNIFICANT
        permuted += test.p_permuted <= SIGNIFICANT
    return {
        "trials": trials,
        "significant": ours / trials,
        "fail": failed / trials,
        "interval_of_fail": clopper_pearson(failed, trials),
        "significant_by_normal_approximation": published / trials,
        "significant_by_permutations": permuted / trials,
    }


def _near(rng: np.random.Generator, images: Features, n: int) -> Features:
    """Near copies of so many of the images, chosen at random."""
    chosen = images[rng.integers(0, len(images), n)]
    return (chosen + 0.2 * rng.standard_normal(chosen.shape)).astype(np.float32)


def _draw(rng: np.random.Generator, n: int, spread: float = 1.0) -> Features:
    centres = 3 * np.random.default_rng(99).standard_normal((5, 8))
    return (centres[rng.integers(0, 5, n)] + spread * rng.standard_normal((n, 8))).astype(np.float32)


def _test(samples: Features, train: Features, held_out: Features, seed: int) -> DataCopying:
    test = data_copying(samples, train, held_out, cells=CELLS, seed=seed)
    assert test is not None
    return test


def exchanged(options: Options) -> dict[str, Any]:
    """How often real images that pose as samples are called copies."""
    samples = read_image_set(options.samples, "samples").images
    train, held_out = read_image_set(options.train, "train").images, read_image_set(options.held_out, "held_out").images
    rng = np.random.default_rng(0)
    every = np.concatenate([samples[:], held_out[:]])
    planted, _ = plant(train[rng.permutation(len(train))[:PLANTED]])
    coder = learn_coder(train, held_out)
    queries = EncodedImages.of(np.concatenate([every, planted]), coder)
    nearest = find_nearest(queries, EncodedImages.of(train, coder))
    scores, planted_scores = nearest.scores[: len(every)], nearest.scores[len(every) :]
    alarms, limits = 0, []
    for _ in tqdm(range(options.splits), desc="exchanges"):
        order = rng.permutation(len(every))
        mine, others = scores[order[: len(samples)]], scores[order[len(samples) :]]
        calibration = calibrate(others, others < verifier.THRESHOLD, planted_scores, len(samples))
        alarms += copy_rate(mine, calibration).too_many
        limits.append(calibration.limit if calibration.limit is not None else 1.0)
    return {
        "samples": len(samples),
        "held_out": len(held_out),
        "near_duplicates": float((scores >= verifier.THRESHOLD).mean()),
        "splits": options.splits,
        "too_many": alarms / options.splits,
        "interval": clopper_pearson(alarms, options.splits),
        "detection_limits": dict(
            zip(("least", "median", "greatest"), np.quantile(limits, (0, 0.5, 1)).tolist(), strict=True)
        ),
    }
