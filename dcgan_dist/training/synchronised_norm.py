"""Batch normalisation over the global batch, on any device and with unequal rows per rank.

torch's own SyncBatchNorm refuses CPU tensors, on which the equality of one and several ranks is tested.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dcgan_dist.models.layers import BatchNorm


class _SumOverRanks(torch.autograd.Function):
    """All-reduce whose gradient is the sum of all ranks' gradients, and can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = _SumOverRanks.apply(gradients[0])
        assert isinstance(total, Tensor)
        return total


class SynchronisedBatchNorm(BatchNorm):
    """BatchNorm whose training statistics are those of the rows of all ranks."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]

        narrow = x.dtype
        x = x.to(torch.promote_types(narrow, torch.float32))  # sums of bfloat16 would lose most of their digits
        rows = x.new_tensor([x.numel() / x.shape[1]])
        total = _SumOverRanks.apply(torch.cat([x.sum(axes), rows]))
        assert isinstance(total, Tensor)
        count = total[-1]
        centred = x - (total[:-1] / count).view(shape)
        # A second reduction instead of E[x^2] - E[x]^2, which would cancel in float32.
        squares = _SumOverRanks.apply(centred.square().sum(axes))
        assert isinstance(squares, Tensor)
        normalised = centred * (squares / count + self.eps).rsqrt().view(shape)
        if self.weight is not None and self.bias is not None:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(narrow)


def synchronise_norms(network: nn.Module) -> None:
    """Replace every BatchNorm of the network by a SynchronisedBatchNorm on the same parameters and buffers."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm) is BatchNorm:
                synchronised = SynchronisedBatchNorm(norm.features, eps=norm.eps, affine=norm.weight is not None)
                synchronised.weight, synchronised.bias = norm.weight, norm.bias
                synchronised.mean, synchronised.variance = norm.mean, norm.variance
                setattr(parent, name, synchronised)
