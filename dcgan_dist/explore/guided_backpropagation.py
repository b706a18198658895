"""What excites the maps of a discriminator, and which pixels are to blame: guided backpropagation.

Source: section 6.2 of the paper; Springenberg et al., "Striving for simplicity: the all convolutional net", 2014.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dcgan_dist.models.discriminator import Discriminator


class TopResponses:
    """The images of a stream that excite each of some maps most, found in one pass.

    A map's response to an image is its largest value over all positions. Kept are, per map, the k best images with the
    position of that value: memory does not grow with the stream.
    """

    def __init__(self, discriminator: Discriminator, maps: Sequence[int], *, layer: str = "", k: int = 9) -> None:
        """Look at some maps of a layer.

        Args:
            discriminator: in eval mode, with standing statistics.
            maps: numbers of the maps.
            layer: by its name; empty: the last convolution.
            k: images kept per map.

        Raises:
            ValueError: no such layer, or no such map.
        """
        self.discriminator, self.maps, self.k = discriminator, list(maps), k
        config = discriminator.config
        names = [f"convolution{i}" for i in range(len(discriminator.convolutions))]
        self.layer = layer or names[-1]
        if self.layer not in names:
            raise ValueError(f"no convolution layer {self.layer!r}: there are {', '.join(names)}")
        count = config.discriminator_maps[names.index(self.layer)] * config.discriminator_width
        if not self.maps or min(self.maps) < 0 or max(self.maps) >= count:
            raise ValueError(f"maps {self.maps} of {self.layer}: there are {count}, numbered from 0")
        self.images_seen = 0
        """Images looked at so far."""
        m = len(self.maps)
        self.values = torch.zeros(m, 0)
        """(m, k) responses, the largest first."""
        self.positions = torch.zeros(m, 0, 2, dtype=torch.long)
        """(m, k, 2) row and column of each."""
        self.images: list[Tensor] = []
        """m times (k, c, s, s)."""
        self.labels: list[Tensor | None] = [None] * m
        """m times (k,), None where the network is unconditional."""

    @torch.no_grad()
    def add(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Look at more images (b, c, s, s), as the discriminator takes them, with labels (b,) where it has classes."""
        weight = next(self.discriminator.parameters())
        on_device = None if labels is None else labels.to(weight.device)
        outputs = self.discriminator.layer_outputs(images.to(weight), on_device)[self.layer][:, self.maps].cpu()
        values, places = outputs.flatten(2).max(2)  # (b, m)
        positions = torch.stack([places // outputs.shape[3], places % outputs.shape[3]], dim=2)
        self.images_seen += len(images)
        if not self.images:
            self.images = [images[:0].cpu()] * len(self.maps)
            self.labels = [labels if labels is None else labels[:0].cpu()] * len(self.maps)
        values = torch.cat([self.values, values.T], 1)
        # Stable, so that of equal responses the earlier image stays, whatever the size of the batches.
        best = values.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        self.values = values.gather(1, best)
        candidates = torch.cat([self.positions, positions.transpose(0, 1)], 1)
        self.positions = candidates.gather(1, best[..., None].expand(-1, -1, 2))
        for m, rows in enumerate(best):
            self.images[m] = torch.cat([self.images[m], images.cpu()])[rows]
            if labels is not None:
                self.labels[m] = torch.cat([self.labels[m], labels.cpu()])[rows]  # pyright: ignore

    def gradients(self) -> Tensor:
        """Guided gradients of the kept responses with respect to their images, (m, k, c, s, s)."""
        kept = zip(self.images, self.maps, self.positions, self.labels, strict=True)
        return torch.stack([guided_gradients(self.discriminator, self.layer, *of_map) for of_map in kept])


def guided_gradients(
    discriminator: Discriminator, layer: str, images: Tensor, number: int, positions: Tensor, labels: Tensor | None
) -> Tensor:
    """Gradient of one unit per image with respect to the image, through positive paths only.

    At every LeakyReLU a gradient passes where the pre-activation and the incoming gradient are both positive: Springenberg's
    rule for ReLU, taken over to LeakyReLU, which the paper leaves open.

    Args:
        discriminator: in eval mode, with standing statistics.
        layer: name of a convolution layer.
        images: (n, c, s, s), as the discriminator takes them.
        number: of the map.
        positions: (n, 2) row and column of the unit.
        labels: (n,), None where the network is unconditional.

    Returns:
        (n, c, s, s) on the CPU; zero where the unit itself is not active.
    """
    weight = next(discriminator.parameters())
    images = images.to(weight).detach().requires_grad_()
    outputs = discriminator.layer_outputs(images, None if labels is None else labels.to(weight.device))
    for name, output in outputs.items():
        if name != "logit":
            # LeakyReLU keeps the sign, so its output tells where its input was positive; its own backward then passes
            # a factor of 1 exactly there.
            active = (output > 0).to(output)
            output.register_hook(lambda gradient, active=active: gradient.clamp_min(0) * active)
    rows, columns = positions.to(weight.device).T
    chosen = outputs[layer][torch.arange(len(images), device=weight.device), number, rows, columns]
    (gradient,) = torch.autograd.grad(chosen.sum(), images)
    return gradient.cpu()


def as_pictures(gradients: Tensor) -> Tensor:
    """Gradients (..., c, s, s) as images in [-1, 1]: 0 is grey, each is scaled so that 1 % of its values reach the ends."""
    sizes = gradients.abs().flatten(-3).float()
    largest = sizes.quantile(0.99, dim=-1)
    # With very few pixels the quantile may be 0.
    largest = torch.where(largest > 0, largest, sizes.amax(-1)).clamp_min(torch.finfo(torch.float32).tiny)
    return (gradients / largest[..., None, None, None]).clamp(-1, 1)
