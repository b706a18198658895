"""The layers that both networks are made of, and their initialisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the second, whose training leaves its buffers alone.

    In training mode it uses the statistics of the batch (biased variance), always. In eval mode it uses the standing
    statistics, which `restandardise` measures once and which are NaN until then: an image made without them should not
    look like one. So a training step changes nothing but parameters, and D, which sees real and fake batches in turn,
    never mixes the two.

    Args:
        features: size of the second axis.
        eps: added to the variance.
        affine: with gain and bias.
    """

    def __init__(self, features: int, *, eps: float, affine: bool = True) -> None:
        super().__init__()
        self.features, self.eps = features, eps
        self.weight = nn.Parameter(torch.ones(features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(features)) if affine else None
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.full((features,), torch.nan))
        self.register_buffer("variance", torch.full((features,), torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}, eps={self.eps}, affine={self.weight is not None}"


def normalised_apart(norm: nn.Module, x: Tensor, batches: int) -> Tensor:
    """Normalise each of several batches of equal size, which lie one after the other in x, by its own statistics."""
    if batches == 1 or isinstance(norm, nn.Identity):
        return norm(x)
    return torch.cat([norm(batch) for batch in x.chunk(batches)])


def convolution(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.Conv2d:
    """Convolution without bias that divides the side by the stride."""
    padding = (kernel_size - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False)


def transposed_convolution(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.ConvTranspose2d:
    """Transposed convolution without bias that multiplies the side by the stride."""
    padding = (kernel_size - 1) // 2
    output_padding = stride - kernel_size + 2 * padding
    return nn.ConvTranspose2d(inputs, outputs, kernel_size, stride, padding, output_padding, bias=False)


def with_labels(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Concatenate one-hot labels to the second axis: as units of (b, n), as constant maps of (b, c, h, w).

    Args:
        x: (b, n) or (b, c, h, w).
        labels: (b,) int64 in [0, classes), None where classes is 0.
        classes: 0 leaves x as it is.
    """
    if not classes:
        return x
    if labels is None:
        raise ValueError(f"a network conditioned on {classes} classes needs labels")
    one_hot = F.one_hot(labels, classes).to(x.dtype)
    if x.ndim == 4:
        one_hot = one_hot[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, one_hot], dim=1)


def initialise(network: nn.Module, *, std: float, generator: torch.Generator) -> None:
    """Draw every weight from N(0, std), every gain from N(1, std); biases are 0.

    Source: section 4 of the paper; the released code draws the gains in the same way.

    Args:
        network: its parameters are overwritten, in order of registration.
        std: 0.02 in all presets.
        generator: a CPU generator; the draw is float32, so that it is the same on every device and in every precision.
    """
    with torch.no_grad():
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if name == "bias":
                    parameter.zero_()
                else:
                    draw = torch.randn(parameter.shape, generator=generator)
                    parameter.copy_(draw * std + isinstance(module, BatchNorm))
