"""Draw images from a trained generator: one grid, or a file per image with --each.

python jobs/sample.py --model models:/dcgan-lsun-generator@candidate --n 64 --out grid.png
"""

from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import absolute, parse, run
from dcgan_dist.errors import require


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleJob:
    """What to draw and where to."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md)."""
    out: str
    """PNG file of the grid; with --each the folder of the images."""
    n: int = 64
    """Number of images; the first ones are the same for every n."""
    seed: int = 0
    """Seed of z."""
    classes: tuple[int, ...] = ()
    """Numbers of the classes to draw, which take turns; empty: all. For a generator with classes."""
    each: bool = False
    """One PNG per image instead of a grid."""
    mode: Literal["standing", "batch"] = "standing"
    """Batch normalisation by standing statistics, or by those of each sampled batch as in the paper."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""


def main(argv: list[str]) -> int:
    """Load, draw, save."""
    job = parse(SampleJob, argv, description=__doc__ or "")
    require(job.n >= 1, f"`n` {job.n} asks for no image: give at least 1")
    from dcgan_dist.quality.sampling import in_turn, save_samples
    from dcgan_dist.registry.load import load_generator
    from dcgan_dist.storage.copies import local_output

    generator = load_generator(job.model, job.tracking_uri)
    out = absolute(job.out, "out")
    with local_output(out, "out") as place:
        save_samples(
            generator, place, n=job.n, seed=job.seed, mode=job.mode, each=job.each, labels=in_turn(job.classes, job.n)
        )
    print(f"{job.n} images of {job.model} in {out}")
    return 0


if __name__ == "__main__":
    run(main)
