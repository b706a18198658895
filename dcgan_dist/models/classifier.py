"""The discriminator's architecture, trained to tell classes apart instead of real from fake."""

from torch import Tensor, nn

from dcgan_dist.config import ClassifierConfig
from dcgan_dist.models.discriminator import Discriminator


class Classifier(nn.Module):
    """Map images to one logit per class: the layers of a discriminator, with `classes` logits in the place of one."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.body = Discriminator(config.model)
        self.units = self.body.logit.in_features
        """Number of units of the last hidden layer, flattened."""
        self.body.logit = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.logits = nn.Linear(self.units, config.classes, bias=False)

    def forward(self, images: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Which class the images look like.

        Args:
            images: (b, c, s, s) in the range of the generator's output.
            dropout: (b, units) factors of the last hidden layer, see `dropout_factors`; None: nothing is dropped. The
                network draws nothing itself, so that a step is a function of what it is given.

        Returns:
            (b, classes) logits.
        """
        hidden = self.body(images)
        return self.logits(hidden if dropout is None else hidden * dropout)


def dropout_factors(uniform: Tensor, share: float) -> Tensor:
    """Factors that drop a share of all units and keep their expected sum.

    Args:
        uniform: draws from [0, 1), any shape.
        share: in [0, 1).

    Returns:
        0 or 1 / (1 - share), of the same shape.
    """
    return (uniform >= share).to(uniform.dtype) / (1 - share)
