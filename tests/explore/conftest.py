"""A small generator that was never trained."""

import pytest

from dcgan_dist.models.generator import Generator
from tests.helpers.networks import drawn_generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """With standing statistics."""
    return drawn_generator()
