"""Networks in files of PyTorch's DCGAN example, netG_epoch_24.pth and netD_epoch_24.pth.

Source: github.com/pytorch/examples, `dcgan/main.py` (BSD-3); the DCGAN tutorial of PyTorch has the same networks. Both are one
`nn.Sequential` called main, whose first (last) layer is a convolution over the whole map in the place of our dense one.
"""

from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from dcgan_dist.errors import InputError, require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.tensor_files import network_from, read_tensors
from dcgan_dist.presets import EXAMPLES64
from dcgan_dist.untrusted import refusing, size_of_file

Network = TypeVar("Network", Generator, Discriminator)

NORM = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
"""torch's names of what a normalisation holds -> ours."""
KERNEL = 4
SIZES = [KERNEL * 2**hidden for hidden in range(1, 9)]
"""Pixels per side by the number of hidden convolutions: 64 in the example, more and fewer in its many copies."""


def import_example(path: Path, network_class: type[Network]) -> Network:
    """The example's generator (z is N(0, 1)) or discriminator (its logit, before the sigmoid), in eval mode.

    Image size, channels, width and length of z are those of the arrays; the running averages of the file become the standing
    statistics. A file that names its arrays module.main..., from several GPUs, is read too.

    Raises:
        InputError: no such file, the other network's, or arrays that do not fit each other.
    """
    with refusing(
        f"{path} holds no network of PyTorch's DCGAN example",
        "name a file of torch.save(netG.state_dict(), FILE), written by torch 1.6 or newer",
    ):
        state = {name.removeprefix("module.").removeprefix("main."): x for name, x in read_tensors(path).items()}
        if "0.weight" not in state:
            raise ValueError("no main.0.weight")
        stored = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        require(stored <= size_of_file(path), f"{path} has arrays that are larger than the file: use another one")
        weights = [number for number in map(_convolution, state.items()) if number is not None]
        is_generator = "1.weight" in state
        kind = "generator" if is_generator else "discriminator"
        wanted = network_class.__name__.lower()
        require(kind == wanted, f"{path} is a {kind} of PyTorch's example, not a {wanted}: name the other file")
        arrays = _named(len(weights), is_generator=is_generator)
        counters = {name for name in state if name.endswith(".num_batches_tracked")}  # torch 0.4 wrote none
        if odd := sorted(state.keys() - counters ^ arrays.keys()):
            raise InputError(
                f"{path} is no {kind} of PyTorch's DCGAN example, as main.{odd[0]} is {'too much' if odd[0] in state else 'missing'}: "
                "use a file of that script, or the folder of an export"
            )
        return _build(path, network_class, state, arrays)


def _convolution(entry: tuple[str, Tensor]) -> int | None:
    """Number of the layer whose kernels an array holds."""
    name, tensor = entry
    return int(name.partition(".")[0]) if name.endswith(".weight") and tensor.ndim == 4 else None


def _named(convolutions: int, *, is_generator: bool) -> dict[str, str]:
    """The example's name of each array, without main, -> ours, for so many convolutions."""
    hidden, names = convolutions - 1, {}
    for i in range(convolutions):
        if is_generator:
            layer, norm = (
                ("projection", "projection_norm") if i == 0 else (f"convolutions.{i - 1}", f"convolution_norm.{i - 1}")
            )
            number, has_norm = 3 * i, i < hidden
        else:
            layer, norm = "logit" if i == hidden else f"convolutions.{i}", f"convolution_norm.{i}"
            number, has_norm = max(3 * i - 1, 0), 0 < i < hidden
        names[f"{number}.weight"] = f"{layer}.weight"
        for theirs, ours in NORM.items() if has_norm else ():
            names[f"{number + 1}.{theirs}"] = f"{norm}.{ours}"
    return names


def _build(path: Path, network_class: type[Network], state: dict[str, Tensor], arrays: dict[str, str]) -> Network:
    kernels = {ours: state[theirs] for theirs, ours in arrays.items() if state[theirs].ndim == 4}
    *hidden, last = kernels.values()
    is_generator = network_class is Generator
    maps = [kernel.shape[1 if is_generator else 0] for kernel in hidden]
    first = next(iter(kernels.values()))
    channels = last.shape[1] if is_generator else first.shape[1]
    require(
        1 < len(kernels) <= len(SIZES) + 1 and channels in (1, 3) and min(maps) > 0,
        f"{path} makes {len(kernels)} convolutions and {channels} channels: images of {SIZES[0]} to {SIZES[-1]} px have 2 to "
        f"{len(SIZES) + 1}, and 1 or 3",
    )
    width = gcd(*maps)
    multiples, strides = tuple(m // width for m in maps), (2,) * len(maps)
    if not is_generator:
        multiples = multiples[::-1]
    config = replace(
        EXAMPLES64.model,
        image_size=SIZES[len(maps) - 1],
        image_channels=channels,
        latent_dim=first.shape[0] if is_generator else EXAMPLES64.model.latent_dim,
        generator_width=width,
        generator_maps=multiples,
        generator_strides=strides,
        discriminator_width=width,
        discriminator_maps=multiples[::-1],
        discriminator_strides=strides,
    )

    with torch.device("meta"):
        expected = network_class(config).state_dict()
    converted = {}
    for theirs, ours in arrays.items():
        tensor, shape = state[theirs], tuple(expected[ours].shape)
        if ours in ("projection.weight", "logit.weight"):
            shape = (config.latent_dim, maps[0], KERNEL, KERNEL) if is_generator else (1, maps[-1], KERNEL, KERNEL)
        require(
            tuple(tensor.shape) == shape,
            f"main.{theirs} of {path} has the shape {tuple(tensor.shape)} where {shape} fits the other arrays: is the file of "
            "another network?",
        )
        require(
            bool(torch.isfinite(tensor).all()) and not (ours.endswith("variance") and bool((tensor < 0).any())),
            f"main.{theirs} of {path} holds NaN, infinity or a negative variance: use the file of another epoch",
        )
        if ours == "projection.weight":
            tensor = tensor.flatten(1).T
        converted[ours] = tensor.flatten(1) if ours == "logit.weight" else tensor
    return network_from(network_class, config, {name: tensor.contiguous() for name, tensor in converted.items()}).eval()
