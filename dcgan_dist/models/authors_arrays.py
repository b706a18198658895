"""Networks from the arrays that the paper's authors released for SVHN.

Source: github.com/Newmu/dcgan_code (MIT), `models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb/200_*`, one .npy
file per array, numbered in the order of their code.
"""

import re
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcgan_dist.errors import InputError, require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import SVHN32

Network = TypeVar("Network", Generator, Discriminator)

# The authors' order: weights of a layer, then gain and bias of its normalisation.
ORDER = {
    "gen": (
        *("projection.weight", "projection_norm.weight", "projection_norm.bias"),
        *("convolutions.0.weight", "convolution_norm.0.weight", "convolution_norm.0.bias"),
        *("convolutions.1.weight", "convolution_norm.1.weight", "convolution_norm.1.bias"),
        "convolutions.2.weight",
    ),
    "discrim": (
        "convolutions.0.weight",
        *("convolutions.1.weight", "convolution_norm.1.weight", "convolution_norm.1.bias"),
        *("convolutions.2.weight", "convolution_norm.2.weight", "convolution_norm.2.bias"),
        "logit.weight",
    ),
}
# As released (200_gen_params.jl_01.npy) or with plain names (gen_params_01.npy).
FILE = re.compile(r"(?:\d+_)?(gen|discrim)_params(?:\.jl)?_(\d+)\.npy")


def is_authors_folder(folder: Path) -> bool:
    """Whether a folder holds files that are named like the authors' arrays."""
    return folder.is_dir() and any(FILE.fullmatch(path.name) for path in folder.iterdir())


def import_network(folder: Path, network_class: type[Network]) -> Network:
    """The authors' SVHN generator (z is N(0, 1)) or discriminator, preset svhn32, without standing statistics.

    Raises:
        InputError: an array is missing, has another shape than svhn32's, or is no plain float array.
    """
    network, kind = network_class(SVHN32.model), "gen" if network_class is Generator else "discrim"
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if (match := FILE.fullmatch(path.name)) and match[1] == kind:
            number = int(match[2])
            require(
                number not in files,
                f"{folder} holds array {number} of {kind}_params twice, {files.get(number, path).name} and {path.name}: "
                "keep the arrays of one network per folder",
            )
            files[number] = path
    names = ORDER[kind]
    missing = [f"{kind}_params_{i:02}.npy" for i in range(1, len(names) + 1) if i not in files]
    require(not missing, f"{folder} lacks {', '.join(missing)}: the authors' SVHN network has {len(names)} such arrays")
    extra = [path.name for i, path in files.items() if not 1 <= i <= len(names)]
    require(not extra, f"{folder} holds {', '.join(extra)} too: the authors' SVHN network has only {len(names)} arrays")

    state = network.state_dict()
    for number, name in enumerate(names, start=1):
        state[name] = _read(files[number], tuple(state[name].shape))
    network.load_state_dict(state)
    return network


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    # Theano multiplies by dense matrices from the right.
    stored = shape[::-1] if len(shape) == 2 else shape
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a huge one is not read
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is no plain .npy array ({error}): copy it again from the authors' release") from error
    require(
        array.shape == stored and array.dtype.kind == "f",
        f"{path} is {array.dtype} of shape {array.shape} where the authors' SVHN network (preset svhn32) has floats of "
        f"shape {stored}: is it another model's array, or are the files numbered in another order?",
    )
    values = np.array(array, dtype=np.float32)
    require(bool(np.isfinite(values).all()), f"{path} holds NaN or infinity: copy it again from the authors' release")
    tensor = torch.from_numpy(values)
    if len(shape) == 4:
        return tensor.flip(2, 3)  # Theano convolves, torch correlates
    return tensor.T.contiguous() if len(shape) == 2 else tensor
