"""Supervised training: the same as a plain loop, the same after a stop, and it learns."""

import copy
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.config import SupervisedConfig, replace
from dcgan_dist.errors import InputError
from dcgan_dist.models.latents import seeded
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.search.classifier_training import (
    ImagesAndLabels,
    Learner,
    labelled_batches,
    measurement_epochs,
    steps_per_epoch,
)
from dcgan_dist.search.few_labels import open_few_labels
from dcgan_dist.search.trial import as_tensors
from dcgan_dist.training.in_memory_order import batch_positions


def small(**changes: object) -> SupervisedConfig:
    config = replace(replace(SVHN_SUPERVISED, "classifier.model.discriminator_width", 4), "batch_size", 50)
    for path, value in changes.items():
        config = replace(config, path.replace("__", "."), value)
    return config


@pytest.fixture(scope="module")
def digits() -> tuple[ImagesAndLabels, ImagesAndLabels]:
    """Labelled and validation images of draw 0."""
    train, validation = open_few_labels("digits").draw(0)
    return as_tensors(train), as_tensors(validation)


def test_steps_are_those_of_a_plain_torch_loop(digits: tuple[ImagesAndLabels, ImagesAndLabels]) -> None:
    config = small(dropout=0.4, optimizer__lr=1e-3, optimizer__beta1=0.8, optimizer__weight_decay=1e-2)
    learner = Learner(config)
    plain = copy.deepcopy(learner.network).train()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, betas=(0.8, 0.999), eps=1e-8, weight_decay=1e-2)

    for number, (images, labels) in enumerate(islice(labelled_batches(digits[0], config), 3)):
        loss = learner.step(number, (images, labels))["loss/train"]
        kept = torch.rand(50, plain.units, generator=seeded(config.seed, "dropout", number)) >= 0.4
        logits = plain.logits(plain.body(images.float() / 127.5 - 1) * kept / 0.6)
        expected = F.cross_entropy(logits, labels)
        adam.zero_grad()
        expected.backward()
        adam.step()

        torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-5)
        learner.standardise(digits[0][0])
        assert learner.error_percent(digits[1]) > 0  # a measurement changes nothing in what follows
        torch.rand(7)  # nor does what others draw


def test_it_learns_digits_and_counts_its_errors(digits: tuple[ImagesAndLabels, ImagesAndLabels]) -> None:
    config = small(optimizer__lr=3e-3)
    learner = Learner(config)
    for number, batch in enumerate(islice(labelled_batches(digits[0], config), 60)):
        learner.step(number, batch)

    learner.standardise(digits[0][0])
    error = learner.error_percent(digits[1])

    assert error < 15, "three epochs; by chance it would be 90"
    predicted = learner.network(digits[1][0] / 127.5 - 1).argmax(1)
    assert error == pytest.approx(100 * (predicted != digits[1][1]).double().mean().item())
    first = digits[1][0][:1], digits[1][1][:1]
    assert learner.error_percent(first) in (0, 100), "an image does not depend on its batch mates"


def test_non_finite_logits_are_errors(digits: tuple[ImagesAndLabels, ImagesAndLabels]) -> None:
    learner = Learner(small())
    learner.standardise(digits[0][0])
    with torch.no_grad():
        learner.network.logits.weight.fill_(torch.nan)

    assert learner.error_percent(digits[1]) == 100


@given(epochs=st.integers(1, 300), measurements=st.integers(1, 20))
def test_the_last_epoch_is_always_measured(epochs: int, measurements: int) -> None:
    measured = measurement_epochs(small(epochs=epochs), measurements)

    assert max(measured) == epochs
    assert min(measured) >= 1
    assert len(measured) == min(epochs, measurements)


@given(samples=st.integers(3, 60), batch=st.integers(1, 3), first=st.integers(0, 40))
def test_batches_of_an_epoch_repeat_no_image_and_begin_at_any_step(samples: int, batch: int, first: int) -> None:
    per_epoch = samples // batch
    straight = list(islice(batch_positions(samples, batch, seed=1), first + 2 * per_epoch))

    resumed = list(islice(batch_positions(samples, batch, seed=1, first_step=first), 2 * per_epoch))

    assert all(torch.equal(a, b) for a, b in zip(straight[first:], resumed, strict=True))
    epoch = torch.cat(straight[:per_epoch]).tolist()
    assert len(set(epoch)) == len(epoch) == per_epoch * batch


def test_a_batch_larger_than_the_labels_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size 50 is more than the 40 labelled images"):
        steps_per_epoch(40, small())
