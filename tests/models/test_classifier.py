"""The supervised network: the discriminator's architecture, and dropout that is given, not drawn."""

import dataclasses

import pytest
import torch

from dcgan_dist.config import ClassifierConfig, replace
from dcgan_dist.errors import InputError
from dcgan_dist.models.classifier import Classifier, dropout_factors
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.presets import MNIST28, SVHN32, SVHN_SUPERVISED


def test_with_the_discriminators_weights_a_logit_is_the_discriminators() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(SVHN32.model)
    classifier = Classifier(SVHN_SUPERVISED.classifier)
    state = {f"body.{name}": value for name, value in discriminator.state_dict().items() if name != "logit.weight"}
    classifier.load_state_dict(state | {"logits.weight": discriminator.logit.weight.repeat(10, 1)})
    images = torch.rand(4, 3, 32, 32) * 2 - 1

    logits = classifier(images)

    assert logits.shape == (4, 10)
    torch.testing.assert_close(logits[:, 3], discriminator(images))


def test_dropout_factors_drop_their_share_and_keep_the_sum() -> None:
    uniform = torch.rand(400, 1000, generator=torch.Generator().manual_seed(0))

    factors = dropout_factors(uniform, 0.3)

    # 400,000 draws: standard error of the share 0.0007.
    assert abs((factors == 0).float().mean() - 0.3) < 0.004
    assert abs(factors.mean() - 1) < 0.006
    assert torch.equal(dropout_factors(uniform, 0.0), torch.ones_like(uniform))


def test_dropped_units_do_not_reach_the_logits() -> None:
    classifier = Classifier(replace(SVHN_SUPERVISED.classifier, "model.discriminator_width", 4))
    images = torch.rand(3, 3, 32, 32)

    assert torch.equal(classifier(images, torch.zeros(3, classifier.units)), torch.zeros(3, 10))
    torch.testing.assert_close(classifier(images, torch.full((3, classifier.units), 2.0)), 2 * classifier(images))


def test_a_network_that_is_told_the_label_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.classes 10 would tell"):
        ClassifierConfig(model=MNIST28.model)
    with pytest.raises(InputError, match=r"dropout 1\.0"):
        dataclasses.replace(SVHN_SUPERVISED, dropout=1.0)
