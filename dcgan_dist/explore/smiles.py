"""Who smiles: classifiers of an attribute from faces labelled by folder, used on the faces that a generator draws."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.data.shards.images import ImageFault, open_image, to_array
from dcgan_dist.errors import InputError, require
from dcgan_dist.explore.drawing import draw
from dcgan_dist.explore.exploration_options import ArithmeticJob
from dcgan_dist.explore.grey_faces import Frame, at_resolution, cut, edge_histograms, find_frame, to_grey
from dcgan_dist.models.generator import Generator
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.quality.sampling import fixed_latents

FRAME_SAMPLES = 512
"""Samples whose mean tells where a face lies."""
INVERSE_REGULARISATION = 0.1
"""The best of 0.01, 0.1 and 1 on faces kept apart (85, 89, 88 of 100 right)."""


@dataclass(frozen=True, kw_only=True)
class AttributeClassifier:
    """Tells faces with an attribute from faces without: logistic regression on edge histograms."""

    model: LogisticRegression
    frame: Frame
    """Where the classifier's kind of picture lies in the generator's."""
    accuracy: float
    """On labelled faces that this classifier was not trained on."""
    tested_on: int
    """Number of these faces."""

    def scores(self, images: Tensor) -> NDArray[np.float64]:
        """Log odds of the attribute (n,) for images (n, c, s, s) in [-1, 1]: positive means it is there."""
        return self.model.decision_function(edge_histograms(cut(to_grey(images), self.frame)))

    def rate(self, images: Tensor) -> tuple[int, int]:
        """How many images have the attribute, and how many images there are."""
        return int((self.scores(images) > 0).sum()), len(images)


def classifiers_of(job: ArithmeticJob, generator: Generator) -> tuple[AttributeClassifier, AttributeClassifier]:
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
        folders = [folder for folder in name.split("/")[:-1] if folder in (with_folder, without_folder)]
        if folders:
            try:
                pixels = to_array(open_image(place.read_bytes()), 1)
            except (ImageFault, OSError) as error:
                raise InputError(f"`labelled` {path}: {name} cannot be read ({error}): leave it out") from error
            faces.append(cut(pixels[None, :, :, 0])[0])
            labels.append(folders[-1] == with_folder)  # the one that it lies in
    return np.stack(faces) if faces else np.zeros((0, 64, 64), np.uint8), np.array(labels, bool)


def train_pair(
    faces: NDArray[np.uint8], labels: NDArray[np.bool_], mean_image: NDArray[np.floating], *, seed: int
) -> tuple[AttributeClassifier, AttributeClassifier]:
    """Two classifiers from the two halves of labelled faces: one may choose examples, the other judge what came of it.

    A classifier that judged what it chose itself would see its own mistakes as successes. Each is tested on the other's half.
    The faces are reduced to the resolution that they have in the generator's images.

    Args:
        faces: (n, 64, 64).
        labels: (n,) whether the attribute is there.
        mean_image: (s, s) grey mean of the images to be classified, from which their frame is found.
        seed: of the split.
    """
    frame = find_frame(faces.mean(0), mean_image)
    histograms = edge_histograms(at_resolution(faces, frame.side))
    order = np.random.default_rng(seed).permutation(len(faces))
    halves = order[::2], order[1::2]
    pair = []
    for half, other in (halves, halves[::-1]):
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=2000).fit(histograms[half], labels[half])
        accuracy = float(model.score(histograms[other], labels[other]))
        pair.append(AttributeClassifier(model=model, frame=frame, accuracy=accuracy, tested_on=len(other)))
    return pair[0], pair[1]
