"""The discriminator of every preset."""

from functools import partial
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from dcgan_dist.config import ModelConfig
from dcgan_dist.models.layers import BatchNorm, convolution, normalised_apart, with_labels


class Discriminator(nn.Module):
    """Map images to one logit: strided convolutions, then a dense layer on the flattened last map.

    Every layer but the first and the last is followed by batch normalisation; every layer but the last by LeakyReLU 0.2.
    Layers are named `convolution0`..., `dense0`..., which are also the names of `layer_outputs`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        maps = [m * config.discriminator_width for m in config.discriminator_maps]
        last_size = config.image_size // prod(config.discriminator_strides)
        norm = partial(BatchNorm, eps=config.norm_eps, affine=config.norm_affine)

        self.convolutions, self.convolution_norm = nn.ModuleList(), nn.ModuleList()
        inputs = [config.image_channels, *maps]
        for i, (m, n, stride) in enumerate(zip(inputs, maps, config.discriminator_strides, strict=False)):
            self.convolutions.append(convolution(m + config.classes, n, config.kernel_size, stride))
            self.convolution_norm.append(norm(n) if i else nn.Identity())

        self.dense, self.dense_norm = nn.ModuleList(), nn.ModuleList()
        units = maps[-1] * last_size**2
        for outputs in config.discriminator_dense:
            self.dense.append(nn.Linear(units + config.classes, outputs, bias=False))
            self.dense_norm.append(norm(outputs))
            units = outputs
        self.logit = nn.Linear(units + config.classes, 1, bias=False)

    def forward(self, images: Tensor, labels: Tensor | None = None, *, batches: int = 1) -> Tensor:
        """How real the images look.

        Args:
            images: (b, c, s, s) in the range of the generator's output.
            labels: (b,) int64, None if the network is unconditional.
            batches: how many batches of equal size lie one after the other in images; each is normalised apart.

        Returns:
            (b,) logits: positive means real.
        """
        return self.layer_outputs(images, labels, batches=batches)["logit"]

    def layer_outputs(self, images: Tensor, labels: Tensor | None = None, *, batches: int = 1) -> dict[str, Tensor]:
        """Output of every layer by name, after normalisation and LeakyReLU; the last one is `logit`, (b,)."""
        classes = self.config.classes
        outputs: dict[str, Tensor] = {}
        x = images
        for i, (conv, norm) in enumerate(zip(self.convolutions, self.convolution_norm, strict=True)):
            x = F.leaky_relu(normalised_apart(norm, conv(with_labels(x, labels, classes)), batches), 0.2)
            outputs[f"convolution{i}"] = x
        x = x.flatten(1)
        for i, (dense, norm) in enumerate(zip(self.dense, self.dense_norm, strict=True)):
            x = F.leaky_relu(normalised_apart(norm, dense(with_labels(x, labels, classes)), batches), 0.2)
            outputs[f"dense{i}"] = x
        logit = self.logit(with_labels(x, labels, classes)).squeeze(1)
        outputs["logit"] = logit.to(images.dtype)  # so that losses are not computed in bfloat16
        return outputs
