"""Arithmetic with z: smiling - neutral + neutral = smiling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dcgan_dist.errors import require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.exemplars import FORMS, disjoint_groups, read_exemplars, score_samples
from dcgan_dist.explore.exploration_options import ArithmeticJob
from dcgan_dist.explore.job import Exploration, proportion
from dcgan_dist.explore.latent_math import combine, surroundings
from dcgan_dist.explore.sheets import beside, panel
from dcgan_dist.explore.smiles import AttributeClassifier, classifiers_of
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.frechet import FeatureStatistics
from dcgan_dist.quality.random_features import RandomFeatures
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.registry.identify import open_generator

PAPER = (
    "Section 6.3.2, figure 7: three exemplars per concept; smiling woman - neutral woman + neutral man gives a smiling man, man with "
    "glasses - man without + woman without a woman with glasses; the same in pixels gives overlaid ghosts. No rate is given."
)
EXEMPLARS = 3


def run_arithmetic(job: ArithmeticJob, arguments: Sequence[str]) -> Exploration:
    """Draw the equations and, with labelled faces, count."""
    given = [job.a, job.b, job.c]
    require(
        all(given) or (not any(given) and bool(job.labelled)),
        f"give all of `a`, `b` and `c` (each: {FORMS}), or `labelled` FACES for exemplars that a classifier proposes",
    )
    generator = open_generator(job.model, job.tracking_uri, job.label)
    pair = classifiers_of(job, generator) if job.labelled else None
    exploration = Exploration(name="arithmetic", job=job, arguments=list(arguments), paper=PAPER)
    if all(given):
        exemplars = [
            read_exemplars(items, generator, seed=job.seed, field=field)
            for items, field in zip(given, "abc", strict=True)
        ]
        _draw_equation(exploration, job, generator, exemplars, job.name, "equation.png", pair[1] if pair else None)
        return exploration

    assert pair is not None
    proposer, judge = pair
    wanted, other = job.with_folder, job.without_folder
    groups = _propose(job, generator, proposer)
    exploration.figures = {
        "classifier": {
            "what": "logistic regression on edge histograms, trained on one half of the labelled faces, tested on the other",
            "accuracy_of_proposer": proportion(round(proposer.accuracy * proposer.tested_on), proposer.tested_on),
            "accuracy_of_judge": proportion(round(judge.accuracy * judge.tested_on), judge.tested_on),
            "face_in_image": judge.frame._asdict(),
        }
    }
    for sign, (rich, poor) in enumerate(((wanted, other), (other, wanted))):
        name = f"{rich} - {poor} + {poor}"
        numbers = groups[rich][: job.trials], groups[poor][: job.trials], groups[poor][job.trials :]
        exemplars = [_latents(generator, group, job.seed) for group in numbers]
        file = f"{rich}.png".replace("/", "_")
        _draw_equation(exploration, job, generator, [z[0] for z in exemplars], name, file, None)
        counted = _count(job, generator, judge, exemplars, towards=sign == 0)
        drawn = {letter: group[0].tolist() for letter, group in zip("abc", numbers, strict=True)}
        exploration.figures[name] = {**counted, "exemplars_of_the_figure": drawn}
    return exploration


def _propose(job: ArithmeticJob, generator: Generator, proposer: AttributeClassifier) -> dict[str, np.ndarray]:
    """Groups of three samples: job.trials x 2 of each kind."""
    needed = EXEMPLARS * job.trials * 2
    require(
        job.trials >= 1 and job.samples >= 2 * needed,
        f"`trials` {job.trials} needs {needed} samples of each kind, so `samples` of at least {2 * needed}, not {job.samples}",
    )
    scores = score_samples(generator, job.samples, proposer.scores, seed=job.seed, label=job.label)
    return {
        job.with_folder: disjoint_groups(scores, EXEMPLARS, 2 * job.trials, seed=job.seed),
        job.without_folder: disjoint_groups(-scores, EXEMPLARS, 2 * job.trials, seed=job.seed),
    }


def _latents(generator: Generator, numbers: np.ndarray, seed: int) -> Tensor:
    """z (..., latent_dim) of samples by number."""
    z, _ = fixed_latents(generator, 0, int(numbers.max()) + 1, seed=seed)
    return z[torch.from_numpy(numbers)]


def _count(
    job: ArithmeticJob,
    generator: Generator,
    judge: AttributeClassifier,
    exemplars: Sequence[Tensor],
    *,
    towards: bool,
) -> dict[str, Any]:
    """How often the judge sees the wanted side of the attribute: in results, in C alone, in what else could be done.

    Exemplars of A, B and C are (trials, EXEMPLARS, latent_dim) each.
    """
    exemplars, n = [z.transpose(0, 1) for z in exemplars], len(exemplars[0])

    def rate(images: Tensor) -> dict[str, Any]:
        positive, total = judge.rate(images)
        return proportion(positive if towards else total - positive, total)

    def images(z: Tensor) -> Tensor:
        return draw(generator, z, label=job.label)

    strangers, _ = fixed_latents(generator, 0, 2 * EXEMPLARS * n, seed=job.seed + 1)
    plus, minus = strangers.unflatten(0, (2, n, EXEMPLARS)).transpose(1, 2)
    a, _, c = exemplars
    pixels = [images(z.flatten(0, 1)).unflatten(0, z.shape[:2]) for z in exemplars]
    judged = {
        "results": images(combine(*exemplars)),
        "c_alone": images(c.mean(0)),
        "a_alone": images(a.mean(0)),
        "random_difference_added_to_c": images(combine(plus, minus, c)),
        "pixel_average": combine(*pixels).clamp(-1, 1),
    }
    others, _ = fixed_latents(generator, 0, n, seed=job.seed + 2)
    plain = _statistics(images(others))
    distances = {key: plain.distance(_statistics(judged[key])) for key in ("results", "c_alone", "pixel_average")}
    rates = {key: rate(images) for key, images in judged.items()}
    return {"n": n, **rates, "frechet_to_as_many_samples": distances}


def _statistics(images: Tensor) -> FeatureStatistics:
    statistics, features = FeatureStatistics(), RandomFeatures()
    for batch in images.split(256):
        statistics.add(features(batch))
    return statistics


def _draw_equation(
    exploration: Exploration,
    job: ArithmeticJob,
    generator: Generator,
    exemplars: Sequence[Tensor],
    name: str,
    file: str,
    judge: AttributeClassifier | None,
) -> None:
    pixels = [draw(generator, z, label=job.label) for z in exemplars]
    y = combine(*exemplars)
    around = draw(generator, surroundings(y, noise=job.noise, seed=job.seed), label=job.label)
    baseline = combine(*pixels).clamp(-1, 1)
    scale = max(1, 64 // around.shape[-1])

    parts: list[Image.Image | str] = []
    for z, images, title, sign in zip(exemplars, pixels, "ABC", "-+=", strict=True):
        mean = draw(generator, z.mean(0)[None], label=job.label)
        parts += [panel(torch.cat([images, mean]), title, columns=1, scale=scale), sign]
    parts += [panel(around, "G(y + noise), G(y) in the centre", columns=3, scale=scale)]
    parts += [panel(baseline[None], "in pixels", scale=scale)]
    caption = (
        f"{name}: exemplars of A, B and C with the image of their mean z at the bottom; y = A - B + C of the means, noise "
        f"uniform up to {job.noise:g}; at the right the same sum of the images themselves."
    )
    exploration.add(file, beside(parts), caption)
    if judge is not None:
        figures = {"g_of_y": draw(generator, y[None], label=job.label), "grid": around, "pixel_average": baseline[None]}
        exploration.figures[name] = {key: proportion(*judge.rate(images)) for key, images in figures.items()}
