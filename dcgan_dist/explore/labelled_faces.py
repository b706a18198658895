"""Classifiers of an attribute from faces labelled by folder."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.data.shards.images import open_image, to_array
from dcgan_dist.errors import require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.grey_faces import cut, to_grey
from dcgan_dist.explore.smiles import AttributeClassifier, train_pair
from dcgan_dist.models.generator import Generator
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.quality.sampling import fixed_latents

FRAME_SAMPLES = 512
"""Samples whose mean tells where a face lies."""


class Labelled(Protocol):
    """What a job says about its labelled faces."""

    @property
    def labelled(self) -> str: ...
    @property
    def with_folder(self) -> str: ...
    @property
    def without_folder(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def label(self) -> int: ...


def classifiers_of(job: Labelled, generator: Generator) -> tuple[AttributeClassifier, AttributeClassifier]:
    """A proposer and a judge for the images of a generator.

    Raises:
        InputError: too few labelled faces, or folders of other names.
    """
    faces, labels = read_labelled(absolute(job.labelled, "labelled"), job.with_folder, job.without_folder)
    counts = int(labels.sum()), int((~labels).sum())
    require(
        min(counts) >= 20,
        f"`labelled` {job.labelled} has {counts[0]} faces in {job.with_folder}/ and {counts[1]} in {job.without_folder}/: at "
        "least 20 of each are needed; name the folders with `with_folder` and `without_folder`",
    )
    z, _ = fixed_latents(generator, 0, FRAME_SAMPLES, seed=job.seed)
    mean = to_grey(draw(generator, z, label=job.label)).astype(np.float64).mean(0)
    return train_pair(faces, labels, mean, seed=job.seed)


def read_labelled(path: str, with_folder: str, without_folder: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Faces (n, 64, 64) uint8 and whether each lies in the folder "with", of all that lie in either."""
    faces, labels = [], []
    for name, place in find_images([path]):
        folders = name.split("/")[:-1]
        if with_folder in folders or without_folder in folders:
            pixels = to_array(open_image(place.read_bytes()), 1)
            faces.append(cut(pixels[None, :, :, 0])[0])
            labels.append(with_folder in folders)
    return np.stack(faces) if faces else np.zeros((0, 64, 64), np.uint8), np.array(labels, bool)
