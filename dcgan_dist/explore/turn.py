"""Turning faces along an axis in the space of z."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.errors import require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.exemplars import FORMS, read_exemplars, score_samples
from dcgan_dist.explore.exploration_options import TurnJob
from dcgan_dist.explore.job import Exploration, proportion
from dcgan_dist.explore.latent_math import along, difference
from dcgan_dist.explore.pose import PoseAxis, fit_pose
from dcgan_dist.explore.sheets import panel, stacked
from dcgan_dist.explore.walk import read_real
from dcgan_dist.models.generator import Generator
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.registry.identify import open_generator

PAPER = (
    "Section 6.3.2, figure 8: mean z of 4 faces looking left minus mean z of 4 looking right; interpolation along this axis added to "
    "random samples turned them reliably. No figure is given."
)


def run_turn(job: TurnJob, arguments: Sequence[str]) -> Exploration:
    """Find the axis, draw, measure."""
    given = [job.left, job.right]
    require(
        all(given) or (not any(given) and bool(job.shards)),
        f"give both `left` and `right` (each: {FORMS}), or `shards` of real faces to propose exemplars from",
    )
    require(job.steps >= 2, f"`steps` {job.steps}: a row needs at least its 2 ends")
    generator = open_generator(job.model, job.tracking_uri, job.label)
    poses = _poses(job, generator) if job.shards else None
    exploration = Exploration(name="turn", job=job, arguments=list(arguments), paper=PAPER)
    if poses and not all(given):
        given = _propose(job, generator, poses[0])
    exploration.figures["exemplars"] = {"left": list(given[0]), "right": list(given[1])}
    left, right = (
        read_exemplars(items, generator, seed=job.seed, field=field)
        for items, field in zip(given, ("left", "right"), strict=True)
    )
    axis = difference(left, right)

    # Samples of another seed: none of them may be an exemplar.
    strangers, _ = fixed_latents(generator, 0, max(job.rows, job.trials), seed=job.seed + 1)
    shares = torch.linspace(-job.reach, job.reach, job.steps)
    rows = along(strangers[: job.rows], axis, shares)
    shown = panel(draw(generator, rows.flatten(0, 1), label=job.label), "right ... left", columns=job.steps)
    sides = [
        panel(draw(generator, z, label=job.label), title, columns=job.steps)
        for z, title in ((right, "exemplars looking right"), (left, "exemplars looking left"))
    ]
    caption = (
        f"Turn: random samples (middle column) plus {-job.reach:g} to {job.reach:g} times mean z of {len(left)} faces looking left "
        f"minus mean z of {len(right)} looking right. The exemplars are above."
    )
    exploration.add("turn.png", stacked([*sides, shown]), caption)
    if poses:
        exploration.figures |= _measure(job, generator, poses[1], strangers[: job.trials], axis, shares)
        exploration.figures["pose_axis_explains"] = [round(pose.explained, 4) for pose in poses]
    return exploration


def _poses(job: TurnJob, generator: Generator) -> tuple[PoseAxis, PoseAxis]:
    """Proposer and judge, from the two halves of the real faces."""
    real = read_real(job, generator)
    require(
        len(real) >= 100,
        f"the pose is learnt from at least 100 faces, and of `shards` {job.shards} {len(real)} are read: raise `real`, or name more",
    )
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(job.seed))
    return fit_pose(real[order[::2]]), fit_pose(real[order[1::2]])


def _propose(job: TurnJob, generator: Generator, pose: PoseAxis) -> list[tuple[str, ...]]:
    """Sample numbers of the faces turned most to the left and to the right."""
    require(
        job.samples >= 2 * job.exemplars >= 2,
        f"`samples` {job.samples} are too few for {job.exemplars} exemplars a side",
    )
    scores = score_samples(generator, job.samples, pose.scores, seed=job.seed, label=job.label)
    order = np.argsort(scores, kind="stable")
    return [tuple(map(str, side[: job.exemplars])) for side in (order[::-1], order)]


def _measure(
    job: TurnJob, generator: Generator, pose: PoseAxis, z: Tensor, axis: Tensor, shares: Tensor
) -> dict[str, Any]:
    """Pose along the axis, and along a random axis of the same length."""
    n = len(z)
    strangers, _ = fixed_latents(generator, 0, 2 * job.exemplars, seed=job.seed + 2)
    chance = difference(strangers[: job.exemplars], strangers[job.exemplars :])
    chance = chance * axis.norm() / chance.norm()

    def scores(direction: Tensor) -> NDArray[np.float64]:
        images = draw(generator, along(z, direction, shares).flatten(0, 1), label=job.label)
        return pose.scores(images).reshape(n, len(shares))

    turned, astray = scores(axis), scores(chance)
    spread = float(turned[:, len(shares) // 2].std())
    return {
        "n": n,
        "turned_left_from_end_to_end": proportion(int((turned[:, -1] > turned[:, 0]).sum()), n),
        "same_along_a_random_axis": proportion(int((astray[:, -1] > astray[:, 0]).sum()), n),
        "mean_pose_at_each_step": [round(float(pose), 3) for pose in turned.mean(0) / spread],
        "mean_pose_along_a_random_axis": [round(float(pose), 3) for pose in astray.mean(0) / spread],
        "unit_of_pose": "standard deviations of the same samples unturned; positive looks to the left of the picture",
    }
