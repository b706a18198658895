"""Photographs in folders, tars or zips -> shards: shorter side to the wanted size with antialias, square centre cut out.

python jobs/prepare_folder.py --source photos/ --out shards/ --image-size 64
"""

from __future__ import annotations

from dataclasses import dataclass

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFolder(ShardOptions):
    """Photographs in folders or tars into shards."""

    source: tuple[str, ...]
    """Folders, tars and zips of images; img2dataset output too."""
    image_size: int = 64
    """Pixels per side of the shards' images."""
    dataset: str = "folder"
    """Name of the data set, which leads the shards' names."""


def main(argv: list[str]) -> int:
    """Prepare shards from photographs."""
    options = parse(PrepareFolder, argv, description=__doc__ or "")
    source = FolderSource(paths=options.source, image_size=options.image_size, dataset=options.dataset)
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
