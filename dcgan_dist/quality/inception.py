"""The Inception network of the Frechet Inception distance (FID), with weights from a file that the user names."""

from collections.abc import Callable
from pathlib import Path
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from dcgan_dist.errors import InputError

WANTED = (
    "name the file pt_inception-2015-12-05-6726825d.pth of the pytorch-fid project, or leave quality.inception_weights "
    "empty"
)
CLASSES = 1008  # of the network of 2015; torchvision's own has 1000 and other weights
SIZE = 299


def _pooled(block: type[nn.Module], pool: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    """A block of torchvision with another pooling in its last branch."""

    class Pooled(block):
        def _forward(self, x: Tensor) -> list[Tensor]:
            *others, _ = super()._forward(x)  # pyright: ignore[reportAttributeAccessIssue] of the block
            return [*others, self.branch_pool(pool(x))]  # pyright: ignore[reportCallIssue]

    return Pooled


def _average(x: Tensor) -> Tensor:
    """The 2015 network averages over the pixels inside the map only, torchvision's over a border of zeros too."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    """Its last block takes the maximum there instead."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


class InceptionFeatures(nn.Module):
    """The 2048 pooled features that FIDs in the literature are made of.

    The file is the widespread conversion of the TensorFlow network of December 2015 (a plain state dict in torchvision's
    names, 1008 classes). Images are rounded to 8 bits, as when they are saved, and enlarged to 299 x 299 by bilinear
    interpolation without antialiasing, as pytorch-fid does. A FID may be compared with published ones only where the
    number of samples (usually 50,000) and the real images and their preprocessing are the same, too.
    """

    def __init__(self, network: Inception3) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Load the weights; no random state is used.

        Raises:
            InputError: no such file, or not these weights.
        """
        with torch.device("meta"):  # nothing is drawn only to be overwritten
            network = build()
        weights = _read(Path(path).expanduser())
        for name, buffer in network.state_dict().items():
            if name.endswith("num_batches_tracked"):  # a counter that older files lack
                weights.setdefault(name, torch.zeros(buffer.shape, dtype=buffer.dtype))
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise InputError(f"{path} holds other weights than the FID network's: {WANTED}") from error
        network.fc = cast(nn.Linear, nn.Identity())
        return cls(network)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (b, 3 or 1, s, s) floats in [-1, 1].

        Returns:
            (b, 2048) float32.
        """
        pixels = (images.float().expand(-1, 3, -1, -1) * 127.5 + 127.5).round().clamp(0, 255)
        x = F.interpolate(pixels / 127.5 - 1, (SIZE, SIZE), mode="bilinear", align_corners=False)
        return self.network(x)


def build() -> Inception3:
    """The network of 2015, with its classifier, weights not loaded."""
    block_a, block_c, block_e = (_pooled(block, _average) for block in (InceptionA, InceptionC, InceptionE))
    blocks = [BasicConv2d, block_a, InceptionB, block_c, InceptionD, block_e, InceptionAux]
    network = Inception3(CLASSES, aux_logits=False, inception_blocks=blocks, init_weights=False)
    network.Mixed_7c = _pooled(InceptionE, _maximum)(2048)
    return network


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"there is no file of Inception weights {path}: {WANTED}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of a file of any content raises anything
        raise InputError(f"{path} is not a file of weights, or is damaged: {WANTED}") from error
    if not isinstance(weights, dict) or "fc.weight" not in weights:
        raise InputError(f"{path} is not a state dict of an Inception network: {WANTED}")
    if len(weights["fc.weight"]) == 1000:
        raise InputError(f"{path} holds torchvision's own Inception, whose distances are no FIDs: {WANTED}")
    return dict(weights)
