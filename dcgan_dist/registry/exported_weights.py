"""Read the weights of an exported program without running anything that the file says."""

import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.untrusted import parse_json, refusing

WEIGHTS = "data/weights/"
INDEX = WEIGHTS + "model_weights_config.json"
DTYPES = {7: torch.float32, 8: torch.float64}  # torch._export.serde.schema.ScalarType


def read_exported_weights(path: Path) -> dict[str, Tensor]:
    """State dict of a `.pt2` archive: name -> float32 or float64 tensor.

    `torch.export.load` rebuilds the graph too, and for that evaluates expressions and, where the archive's index asks
    for it, unpickles: whoever may write to the registry could run code here. The weights themselves are raw bytes
    described by JSON, and this reads only these.

    Raises:
        InputError: not such an archive, damaged, or with pickled weights.

    Source: `torch/export/pt2_archive/_package.py`, archive version 0.
    """
    with (
        refusing(f"{path.name} is damaged or no exported program", "register the model again"),
        zipfile.ZipFile(path) as archive,
    ):
        names = archive.namelist()
        root = next((name.removesuffix(INDEX) for name in names if name.endswith(INDEX)), None)
        if root is None:
            raise InputError(f"{path.name} holds no exported weights: register the model again")
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is packed")
        index = parse_json(archive.read(root + INDEX), dict[str, Any])["config"]
        return {name: _tensor(archive, root, name, entry) for name, entry in index.items()}


def _tensor(archive: zipfile.ZipFile, root: str, name: str, entry: dict) -> Tensor:
    if entry["use_pickle"]:
        raise InputError(f"the weight {name} is pickled, which could run code while it is read: refused")
    meta = entry["tensor_meta"]
    if meta["dtype"] not in DTYPES:
        raise InputError(f"the weight {name} is neither float32 nor float64")
    storage = torch.frombuffer(
        bytearray(archive.read(root + WEIGHTS + entry["path_name"])), dtype=DTYPES[meta["dtype"]]
    )
    size, stride = ([axis["as_int"] for axis in meta[key]] for key in ("sizes", "strides"))
    if math.prod(size) > len(storage):
        raise ValueError(f"{name} has more values than are stored")
    return storage.as_strided(size, stride, meta["storage_offset"]["as_int"]).clone()
