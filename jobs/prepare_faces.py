"""Faces cut out of photographs -> shards of 128 pixel crops, with box and score in the .json members.

python jobs/prepare_faces.py --source photos/ --out shards/faces
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.prepare.job import run_preparation
from dcgan_dist.prepare.sources.faces import FacesSource
from dcgan_dist.prepare.write_shards import ShardOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareFaces(ShardOptions):
    """faces into shards."""

    source: tuple[str, ...]
    """Folders, tars and zips of photographs."""
    image_size: int = 128
    """Pixels per side of the crops; training takes the centre."""
    min_face: int = 64
    """Smallest side of a face in its photograph, in pixels."""
    margin: float = 0.25
    """Added on each side of the detector's box, as a share of its side."""
    detector: Literal["haar", "yunet"] = "haar"
    """haar ships with OpenCV 4; yunet needs --detector-model."""
    detector_model: str = ""
    """YuNet's .onnx file."""


def main(argv: list[str]) -> int:
    """Prepare shards of faces."""
    options = parse(PrepareFaces, argv, description=__doc__ or "")
    source = FacesSource(
        paths=options.source,
        image_size=options.image_size,
        min_face=options.min_face,
        margin=options.margin,
        detector=options.detector,
        detector_model=options.detector_model,
    )
    return run_preparation(source, options)


if __name__ == "__main__":
    run(main)
