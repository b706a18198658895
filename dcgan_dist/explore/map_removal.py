"""Making a generator forget a thing: find the maps that draw it, and leave them out.

Source: section 6.3.1 of the paper.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dcgan_dist.models.generator import Generator

HELD_OUT = 0.2
"""Share of the images whose activations are kept from the regression, to measure its accuracy on."""


def hidden_convolutions(generator: Generator) -> dict[str, tuple[int, int]]:
    """Name -> (maps, side) of the layers that can be edited, from the input's side to the image's."""
    config = generator.config
    side = generator.projection_shape[1]
    layers = {}
    for i, (maps, stride) in enumerate(zip(config.generator_maps[1:], config.generator_strides, strict=False)):
        side *= stride
        layers[f"convolution{i}"] = (maps * config.generator_width, side)
    return layers


@dataclass(frozen=True, kw_only=True)
class MapWeights:
    """A logistic regression from a layer's activations at a place to "inside a box"."""

    layer: str
    weights: NDArray[np.float64]
    """(c,), one per map."""
    accuracy: float
    """Share of places of held-out images on the right side."""
    held_out_places: int
    """Half of them inside boxes."""

    @property
    def drop(self) -> NDArray[np.bool_]:
        """(c,) maps with a positive weight."""
        return self.weights > 0


def fit_map_weights(
    outputs: Tensor, inside: Tensor, layer: str, *, seed: int, inverse_regularisation: float = 0.001
) -> MapWeights:
    """Which maps tell places inside boxes from others.

    Positive are all places inside a box, negative as many others, drawn from the same images.

    Args:
        outputs: (n, c, h, w) activations after ReLU.
        inside: (n, h, w) bool.
        layer: its name, for the result.
        seed: of the draw of negatives and of the held-out images.
        inverse_regularisation: C of the regression. The paper does not tell; where it is weak, maps that go together share out
            weights of opposite signs, and the sign of one says little about what it draws.

    Raises:
        ValueError: fewer than 5 images with a place inside, or without one outside.
    """
    rng = np.random.default_rng(seed)
    usable = np.flatnonzero((inside.flatten(1).any(1) & ~inside.flatten(1).all(1)).numpy())
    if len(usable) < 5:
        raise ValueError(f"{len(usable)} images have places inside a box of layer {layer}: at least 5 are needed")
    usable = rng.permutation(usable)
    split = max(1, round(len(usable) * HELD_OUT))
    held_out, train = (_places(outputs, inside, images, rng) for images in (usable[:split], usable[split:]))
    model = LogisticRegression(C=inverse_regularisation, max_iter=2000).fit(*train)
    accuracy = float(model.score(*held_out))
    return MapWeights(
        layer=layer,
        weights=model.coef_[0].astype(np.float64),
        accuracy=accuracy,
        held_out_places=len(held_out[1]),
    )


def _places(
    outputs: Tensor, inside: Tensor, images: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    features, truth = [], []
    for image in images:
        vectors = outputs[image].flatten(1).T.float().numpy()  # (h w, c)
        here = inside[image].flatten().numpy()
        within, without = np.flatnonzero(here), np.flatnonzero(~here)
        without = rng.choice(without, min(len(within), len(without)), replace=False)
        features += [vectors[within], vectors[without]]
        truth += [np.ones(len(within), bool), np.zeros(len(without), bool)]
    return np.concatenate(features), np.concatenate(truth)


def without_maps(layer: str, drop: NDArray[np.bool_]) -> dict[str, Tensor]:
    """The `edit` of `Generator.layer_outputs` that sets maps to zero everywhere, after ReLU, normalisation untouched."""
    return {layer: torch.from_numpy(~drop).float()[:, None, None]}


def random_maps(drop: NDArray[np.bool_], *, seed: int) -> NDArray[np.bool_]:
    """As many maps, drawn at random: what leaving out so many does whichever they are."""
    return np.random.default_rng(seed).permutation(drop)
