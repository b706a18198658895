"""ImageNet-1k -> shards: class folders, the official tars, or npz batches of Downsampled ImageNet.

python jobs/prepare_imagenet.py --source ILSVRC2012_img_train.tar --out shards/imagenet
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.imagenet import imagenet_source
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareImageNet(ShardOptions):
    """ImageNet into shards."""

    source: tuple[str, ...]
    """Folders or tars of <class>/<image>, or npz batches."""
    image_size: int = 32
    """Pixels per side; npz batches keep theirs."""


def main(argv: list[str]) -> int:
    """Prepare shards of ImageNet."""
    options = parse(PrepareImageNet, argv, description=__doc__ or "")
    source = imagenet_source(options.source, options.image_size)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
