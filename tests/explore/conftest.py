"""A small generator that was never trained, and a browser."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from dcgan_dist.models.generator import Generator
from tests.helpers.networks import drawn_generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """With standing statistics."""
    return drawn_generator()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The one of this system; none is fetched."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        pytest.skip("no browser is installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
