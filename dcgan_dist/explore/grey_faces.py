"""Faces as other networks see them: grey, 64 pixels, described by the directions of their edges."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 64
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
_HOG = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)


class Frame(NamedTuple):
    """A square part of an image, in pixels."""

    left: int
    top: int
    side: int
    correlation: float
    """How well the template fits there: 1 is perfect."""


def to_grey(images: Tensor) -> NDArray[np.uint8]:
    """(n, 3 or 1, s, s), uint8 or floats in [-1, 1], to (n, s, s) uint8."""
    pixels = images.float() if images.dtype == torch.uint8 else (images.float() + 1) * 127.5
    luma = torch.einsum("c,nchw->nhw", torch.tensor(LUMA), pixels.expand(-1, 3, -1, -1))
    return luma.round().clamp(0, 255).to(torch.uint8).numpy()


def find_frame(template: NDArray[np.floating], mean_image: NDArray[np.floating]) -> Frame:
    """Where the mean of one collection of faces lies in the mean of another, which shows more around the face.

    The best of all squares from a third of the image's side up, by normalised correlation.

    Args:
        template: (h, h) mean face.
        mean_image: (s, s) mean image.
    """
    side = len(mean_image)
    frames = []
    for size in range(max(8, side // 3), side + 1):
        small = cv2.resize(template.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        fit = cv2.matchTemplate(mean_image.astype(np.float32), small, cv2.TM_CCOEFF_NORMED)
        _, correlation, _, (left, top) = cv2.minMaxLoc(fit)
        frames.append(Frame(left, top, size, float(correlation)))
    return max(frames, key=lambda frame: frame.correlation)


def cut(grey: NDArray[np.uint8], frame: Frame | None = None) -> NDArray[np.uint8]:
    """The frame (None: all) of each image (n, s, s), at 64 pixels."""
    if frame is not None:
        grey = grey[:, frame.top : frame.top + frame.side, frame.left : frame.left + frame.side]
    return _resize(grey, SIDE)


def at_resolution(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Images (n, 64, 64) as they look when they had only side x side pixels."""
    return grey if side >= SIDE else _resize(_resize(grey, side), SIDE)


def edge_histograms(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histograms of oriented gradients of images (n, 64, 64): (n, 1764).

    Source: Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, as OpenCV computes them.
    """
    return np.stack([np.asarray(_HOG.compute(np.ascontiguousarray(image))).ravel() for image in grey])


def _resize(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if grey.shape[1:] == (side, side):
        return grey
    how = cv2.INTER_AREA if side < grey.shape[1] else cv2.INTER_CUBIC
    resized = [cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=how) for image in grey]
    return np.stack(resized).astype(np.uint8)
