"""The two layers that touch images, computed between more channels: the same sums, in another order.

Matrix units work on 8 or more channels at a time, and images have 1 or 3. A convolution of stride s over an image is one
of stride 1 over the image with each square of s x s pixels laid out as channels (12 of them for colours and stride 2); a
transposed one makes such channels and lays them out as pixels. Kernels stay as they are stored; what a step needs is cut
out of them anew. Zeros are added to them, so there is more arithmetic: with stride 2, 36 products for the 25 of a 5x5
kernel, and for the 16 of a 4x4 one.

Source: sub-pixel convolution, Shi et al. 2016, sections 2.2 and 3.2 (arXiv:1609.05158).
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator


def unshuffle_image_layer(network: Generator | Discriminator) -> None:
    """Let the first layer of a discriminator or the last of a generator compute between more channels; in place.

    Layers of stride 1 stay as they are.
    """
    if isinstance(network, Discriminator):
        layer, function = network.convolutions[0], convolution
    else:
        layer, function = network.convolutions[-1], transposed_convolution
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    if layer.stride[0] > 1:
        layer.forward = partial(function, layer)


def convolution(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What the layer computes: (b, c, h, w) -> (b, n, h / s, w / s)."""
    stride, padding = layer.stride[0], int(layer.padding[0])
    reach, kernel = _centred(layer.weight, stride, padding)
    n, c, side = *kernel.shape[:2], 2 * reach + 1
    # (n, c, side s, side s) -> (n, c s s, side, side), in the order of pixel_unshuffle.
    kernel = kernel.view(n, c, side, stride, side, stride).permute(0, 1, 3, 5, 2, 4).reshape(n, -1, side, side)
    return F.conv2d(_laid_out(F.pixel_unshuffle(x, stride), layer), kernel, padding=reach)


def transposed_convolution(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """What the layer computes: (b, m, h, w) -> (b, c, s h, s w)."""
    stride, padding = layer.stride[0], int(layer.padding[0])
    reach, kernel = _centred(layer.weight, stride, padding)
    m, c, side = *kernel.shape[:2], 2 * reach + 1
    # An input pixel a squares before an output pixel reaches it with the entry a squares after the kernel's centre, so
    # squares run backwards: (m, c, side s, side s) -> (c s s, m, side, side), in the order of pixel_shuffle.
    kernel = (
        kernel.view(m, c, side, stride, side, stride).flip(2, 4).permute(1, 3, 5, 0, 2, 4).reshape(-1, m, side, side)
    )
    return _laid_out(F.pixel_shuffle(F.conv2d(x, kernel, padding=reach), stride), layer)


def _centred(weight: Tensor, stride: int, padding: int) -> tuple[int, Tensor]:
    """A kernel (.., k, k) with zeros around it, to (.., side * stride, side * stride) with an odd side = 2 reach + 1.

    Entry `padding` of the kernel, which belongs to the pixel itself, becomes the first one of the middle square.
    """
    before, after = padding, weight.shape[-1] - 1 - padding
    reach = max(-(-before // stride), after // stride)
    first = reach * stride - before
    last = (2 * reach + 1) * stride - first - weight.shape[-1]
    return reach, F.pad(weight, (first, last, first, last))


def _laid_out(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """x in the memory format of the network, read off a kernel: an image of one channel has both formats at once."""
    last = layer.weight.is_contiguous(memory_format=torch.channels_last) and not layer.weight.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
