"""Who smiles: a classifier from labelled faces, used on the faces that a generator draws."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dcgan_dist.explore.grey_faces import Frame, at_resolution, cut, edge_histograms, find_frame, to_grey

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

    Raises:
        ValueError: fewer than 20 faces with, or without, the attribute.
    """
    counts = int(labels.sum()), int((~labels).sum())
    if min(counts) < 20:
        raise ValueError(
            f"{counts[0]} faces with and {counts[1]} without the attribute: at least 20 of each are needed"
        )
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
