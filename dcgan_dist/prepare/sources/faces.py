"""Faces cut out of photographs: a detector's boxes, made square, above a resolution, with a margin."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan_dist.data.shards.images import REMARKS
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.preparations import PrepareFaces
from dcgan_dist.prepare.sources.base import Item, Rejected
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.untrusted import refusing

LONGEST_SIDE = 1024
"""Photographs are searched at most at this size; faces that are found are cut out of the full one."""
SMALLEST_FACE = 24
"""Pixels per side of the smallest face that is searched for."""


class Face(NamedTuple):
    """A detection."""

    left: float
    top: float
    side: float
    score: float
    """The detector's own measure; higher is surer."""


Detector = Callable[[NDArray[np.uint8]], list[Face]]
"""Finds the faces of an RGB image (h, w, 3), from left to right."""


def haar_detector() -> Detector:
    """OpenCV's frontal-face cascade, which ships with opencv-python-headless 4.x; the score is the last stage's sum."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / "haarcascade_frontalface_alt2.xml"
    if not path.exists():
        raise InputError("this OpenCV has no Haar cascades: install opencv-python-headless<5, or use `detector=yunet`")
    cascade = cv2.CascadeClassifier(str(path))

    def detect(pixels: NDArray[np.uint8]) -> list[Face]:
        grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        boxes, _, scores = cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=4, minSize=(SMALLEST_FACE, SMALLEST_FACE), outputRejectLevels=True
        )
        return sorted(
            Face(float(x), float(y), float(max(w, h)), float(score))
            for (x, y, w, h), score in zip(boxes, scores, strict=True)
        )

    return detect


def yunet_detector(model: str, threshold: float = 0.8) -> Detector:
    """OpenCV's YuNet network, whose model file the user brings; the score is a probability."""
    if not Path(model).is_file():
        raise InputError(f"`detector_model` {model} does not exist: give the path of a YuNet .onnx file")
    with refusing(f"`detector_model` {model} is not a YuNet .onnx file", "fetch it again"):
        network = cv2.FaceDetectorYN.create(model, "", (320, 320), score_threshold=threshold)

    def detect(pixels: NDArray[np.uint8]) -> list[Face]:
        network.setInputSize((pixels.shape[1], pixels.shape[0]))
        _, detections = network.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        faces = []
        for x, y, w, h, *_, score in [] if detections is None else detections:
            side = max(w, h)
            faces.append(Face(float(x + w / 2 - side / 2), float(y + h / 2 - side / 2), float(side), float(score)))
        return sorted(faces)

    return detect


@dataclass(frozen=True, kw_only=True)
class FacesSource(FolderSource):
    """Every face in the photographs below some paths, cut out as `options` say."""

    options: PrepareFaces
    dataset: str = "faces"

    def items(self) -> Sequence[Item]:
        """One item per photograph.

        Raises:
            InputError: a path is missing or unreadable, there is no image, or the detector cannot be loaded.
        """
        _open_detector(self.options.detector, self.options.detector_model)
        return super().items()

    def cut(self, item: Item, image: Image.Image) -> Iterator[Sample | Rejected]:
        """The faces of one photograph; keys are the photograph's with -0, -1, ..."""
        options, photo = self.options, image.convert("RGB")
        faces = find_faces(_open_detector(options.detector, options.detector_model), photo)
        large = [face for face in faces if face.side >= options.min_face]
        if not large:
            reason = f"all {len(faces)} faces are smaller than {options.min_face} pixels" if faces else "no face"
            yield Rejected(key=item.key, reason=reason)
        for number, face in enumerate(large):
            box = square_box(face, options.margin, photo.size)
            crop = photo.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC, box=box)
            details = {"photo": item.key, "box": [round(edge, 1) for edge in box], "score": round(face.score, 3)}
            key, remarks = f"{item.key}-{number}", image.info[REMARKS]
            yield Sample(key=key, pixels=np.asarray(crop), details=details, remarks=remarks)

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        settings = {name: getattr(self.options, name) for name in ("detector", "min_face", "margin")}
        origin = {"kind": "faces", "names": [Path(path).name for path in self.paths]}
        return settings | {"resize": "antialiased bicubic", "size": self.image_size}, origin


def find_faces(detector: Detector, photo: Image.Image) -> list[Face]:
    """Faces of an RGB photograph in its own pixels; large photographs are searched at a smaller size."""
    scale = max(1.0, max(photo.size) / LONGEST_SIDE)
    size = round(photo.width / scale), round(photo.height / scale)
    if min(size) < SMALLEST_FACE:
        return []
    small = photo if scale == 1 else photo.resize(size)
    faces = detector(np.asarray(small))
    return [Face(face.left * scale, face.top * scale, face.side * scale, face.score) for face in faces]


def square_box(face: Face, margin: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of a face with its margin, moved, and if it must be shrunk, into the photograph."""
    side = min(face.side * (1 + 2 * margin), *size)
    left = min(max(face.left + face.side / 2 - side / 2, 0), size[0] - side)
    top = min(max(face.top + face.side / 2 - side / 2, 0), size[1] - side)
    return left, top, left + side, top + side


@lru_cache(maxsize=2)
def _open_detector(name: str, model: str) -> Detector:
    return haar_detector() if name == "haar" else yunet_detector(model)
