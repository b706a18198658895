"""The generator of every preset."""

from functools import partial
from math import prod

from torch import Tensor, nn

from dcgan_dist.config import ModelConfig
from dcgan_dist.models.layers import BatchNorm, transposed_convolution, with_labels


class Generator(nn.Module):
    """Map z to images: dense projection to a small square, then transposed convolutions.

    Every layer but the last is followed by batch normalisation and ReLU; the last by tanh (or sigmoid). Layers are named
    `dense0`..., `projection`, `convolution0`..., which are also the names of `layer_outputs`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        maps = [m * config.generator_width for m in config.generator_maps]
        base_size = config.image_size // prod(config.generator_strides)
        norm = partial(BatchNorm, eps=config.norm_eps, affine=config.norm_affine)

        self.dense, self.dense_norm = nn.ModuleList(), nn.ModuleList()
        units = config.latent_dim
        for outputs in config.generator_dense:
            self.dense.append(nn.Linear(units + config.classes, outputs, bias=False))
            self.dense_norm.append(norm(outputs))
            units = outputs

        projected = maps[0] * base_size**2
        self.projection = nn.Linear(units + config.classes, projected, bias=False)
        self.projection_shape = (maps[0], base_size, base_size)
        per_unit = config.projection_norm == "unit"
        self.projection_norm = norm(projected if per_unit else maps[0])

        self.convolutions, self.convolution_norm = nn.ModuleList(), nn.ModuleList()
        outputs = [*maps[1:], config.image_channels]
        for m, n, stride in zip(maps, outputs, config.generator_strides, strict=True):
            self.convolutions.append(transposed_convolution(m + config.classes, n, config.kernel_size, stride))
        for n in maps[1:]:
            self.convolution_norm.append(norm(n))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of z.

        Args:
            z: (b, latent_dim).
            labels: (b,) int64, None if the network is unconditional.

        Returns:
            (b, c, s, s) in [-1, 1], or [0, 1] with a sigmoid.
        """
        return self.layer_outputs(z, labels)["image"]

    def layer_outputs(
        self, z: Tensor, labels: Tensor | None = None, *, edit: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Output of every layer by name, after normalisation and ReLU; the last one is `image`.

        Args:
            z: (b, latent_dim).
            labels: as in `forward`.
            edit: layer name -> factor that broadcasts to its output and is multiplied to it before the next layer, for
                example (c, 1, 1) of zeros and ones to drop maps.

        Raises:
            ValueError: edit names a layer that does not exist.
        """
        edit = dict(edit or {})
        outputs: dict[str, Tensor] = {}

        def record(name: str, x: Tensor) -> Tensor:
            outputs[name] = x * edit.pop(name) if name in edit else x
            return outputs[name]

        classes = self.config.classes
        x = z
        for i, (dense, norm) in enumerate(zip(self.dense, self.dense_norm, strict=True)):
            x = record(f"dense{i}", norm(dense(with_labels(x, labels, classes))).relu())

        x = self.projection(with_labels(x, labels, classes))
        if self.config.projection_norm == "unit":
            x = self.projection_norm(x).unflatten(1, self.projection_shape)
        else:
            x = self.projection_norm(x.unflatten(1, self.projection_shape))
        x = record("projection", x.relu())

        for i, norm in enumerate(self.convolution_norm):
            x = self.convolutions[i](with_labels(x, labels, classes))
            x = record(f"convolution{i}", norm(x).relu())
        last = self.convolutions[-1]
        x = last(with_labels(x, labels, classes)).to(last.weight.dtype)  # an image is not rounded to bfloat16
        record("image", x.tanh() if self.config.output == "tanh" else x.sigmoid())
        if edit:
            raise ValueError(f"no layer {', '.join(edit)}: there are {', '.join(outputs)}")
        return outputs
