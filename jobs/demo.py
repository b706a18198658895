"""A page about a trained generator, for a browser on this machine: samples, walks, arithmetic, nearest training images.

python jobs/demo.py --model models:/dcgan-lsun-generator@candidate --shards shards/lsun

Nobody else on the network can open it, and it loads nothing from elsewhere. Ctrl-C ends it.
"""

from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import parse, run


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoJob:
    """Which model, and where its training images are."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md)."""
    shards: str = ""
    """Training images, to show the nearest one of a sample: folder of shards, manifest, tar or URI; empty: none."""
    split: str = "train"
    """Split of the shards."""
    crop: Literal["none", "centre"] = "centre"
    """How images larger than the model's are cut."""
    most_real: int = 50_000
    """Most training images to compare with, spread evenly over the shards; each takes 3 kB of memory."""
    port: int = 7860
    """Port of the page."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""


def main(argv: list[str]) -> int:
    """Load, then serve until Ctrl-C."""
    job = parse(DemoJob, argv, description=__doc__ or "")
    from dcgan_dist.explore.demo_page import check_port, serve
    from dcgan_dist.explore.live_model import LiveModel, TrainingImages
    from dcgan_dist.registry.identify import open_generator
    from dcgan_dist.registry.load import describe_training

    check_port(job.port)
    generator = open_generator(job.model, job.tracking_uri)
    real = TrainingImages(job.shards, job.split, job.most_real, generator.config, crop=job.crop) if job.shards else None
    serve(LiveModel(generator, real), job.port, title=job.model, trained_on=describe_training(job.model))
    return 0


if __name__ == "__main__":
    run(main)
