"""CIFAR-10: the python batches, or JPEG tars named <split>/<number>_<class>.jpg."""

import io
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Lt

from dcgan_dist.data.shards.images import ImageFault, decode
from dcgan_dist.data.shards.tar_members import TarFault, walk_tar
from dcgan_dist.errors import InputError, require
from dcgan_dist.prepare.sources.image_files import Place
from dcgan_dist.prepare.sources.labelled import LabelledSource, SplitArrays, require_one_folder
from dcgan_dist.untrusted import parse_value, read_file, refusing

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES = 60_000
MOST_BATCH_BYTES = 1 << 30
SIDE = 32
_BATCH_NAME = re.compile(r"(data_batch_\d+|test_batch)(\.bin|\.mat)?")
"""Endings of the python, the binary and the MATLAB version."""
_JPEG_NAME = re.compile(rf"(train|test)/(\d+)_({'|'.join(CLASSES)})\.jpg")


@dataclass(frozen=True, kw_only=True)
class Cifar10Source(LabelledSource):
    """The 60,000 images, or as many as the copy at hand has.

    The folder has data_batch_1..5 and test_batch (or lies above them), or the JPEG tars; of both the one with more images counts.
    """

    dataset: str = "cifar10"
    CLASSES: ClassVar = CLASSES

    def read_files(self) -> tuple[dict[str, Any], list[SplitArrays]]:
        """Form ("batches" or "jpeg") and splits."""
        root = Path(self.path).expanduser()
        files = sorted(path for path in root.rglob("*_batch*") if _BATCH_NAME.fullmatch(path.name))
        require_one_folder(files, self.path)
        require(
            len({path.stem for path in files}) == len(files),
            f"`source` {self.path} holds two versions of the same batches: leave one out",
        )
        form, splits = "batches", _read_batches(files)
        if _images(splits) < IMAGES and (tars := sorted(root.glob("*.tar"))):
            form, splits = max((form, splits), ("jpeg", _read_tars(tars)), key=lambda candidate: _images(candidate[1]))
        require(
            bool(splits),
            f"`source` {self.path} holds neither data_batch_* files nor tars with <split>/<number>_<class>.jpg: "
            "unpack cifar-10-python.tar.gz and give that folder",
        )
        return {"form": form}, splits


def holds_jpegs(tar: Path) -> bool:
    """Whether the first file of a tar is named as the JPEG form names its images."""
    try:
        first = next(walk_tar(tar), None)
    except (TarFault, OSError):
        return False
    return first is not None and _JPEG_NAME.fullmatch(first.name) is not None


def _images(splits: Sequence[SplitArrays]) -> int:
    return sum(len(split.labels) for split in splits)


class _PlainUnpickler(pickle.Unpickler):
    """Reads the official batches, which are pickles of plain containers and arrays, and refuses all other code."""

    ALLOWED: ClassVar = {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise InputError(f"this batch file wants to run {module}.{name}, so it is not CIFAR-10: fetch it again")
        if module == "numpy.core.multiarray":
            module = "numpy._core.multiarray"
        return super().find_class(module, name)


def _read_batches(paths: Sequence[Path]) -> list[SplitArrays]:
    splits = []
    for split, prefix in (("train", "data_batch_"), ("test", "test_batch")):
        batches = [
            _read_binary(path) if path.suffix == ".bin" else _read_batch(path)
            for path in paths
            if path.name.startswith(prefix)
        ]
        if batches:
            images, labels = zip(*batches, strict=True)
            splits.append(SplitArrays(split, np.concatenate(images), np.concatenate(labels)))
    return splits


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A batch of the binary version: for each image its label in one byte, then 3,072 bytes."""
    with refusing(f"{path} is not a CIFAR-10 batch of the binary version", "fetch it again"):
        rows = np.frombuffer(read_file(path, MOST_BATCH_BYTES), np.uint8).reshape(-1, 1 + 3 * SIDE**2)
    return rows[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    require(path.suffix != ".mat", f"{path} is of CIFAR-10's MATLAB version: fetch the python or the binary version")
    with refusing(f"{path} is not a CIFAR-10 batch", "fetch it again"):
        batch = _PlainUnpickler(io.BytesIO(read_file(path, MOST_BATCH_BYTES)), encoding="latin1").load()
        images, labels = (
            batch["data"],
            parse_value(list(batch["labels"]), list[Annotated[int, Ge(0), Lt(len(CLASSES))]]),
        )
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(labels), 3072):
            raise ValueError("its data are not a row of 3,072 bytes for each label")
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.asarray(labels, np.int64)


def _read_tars(paths: Sequence[Path]) -> list[SplitArrays]:
    samples: dict[str, dict[int, tuple[np.ndarray, int]]] = {"train": {}, "test": {}}
    for path in paths:
        try:
            for member in walk_tar(path):
                if match := _JPEG_NAME.fullmatch(member.name):
                    split, number, name = match.groups()
                    pixels = decode(Place(str(path), member.offset, member.size).read_bytes(), 3)
                    if pixels.shape[:2] != (SIDE, SIDE):
                        raise ImageFault(f"{member.name} has another size than {SIDE} x {SIDE}")
                    if int(number) in samples[split]:
                        raise ImageFault(f"{member.name} is the second image of this number")
                    samples[split][int(number)] = pixels, CLASSES.index(name)
        except (TarFault, ImageFault) as error:
            raise InputError(f"{path} is damaged ({error}): copy it again") from error
    return [
        SplitArrays(split, *map(np.array, zip(*(numbered[i] for i in sorted(numbered)), strict=True)))
        for split, numbered in samples.items()
        if numbered
    ]
