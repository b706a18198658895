"""The demo in a real browser: its samples are those of the other jobs, and it asks only its own server."""

import base64
import dataclasses
import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError
from dcgan_dist.explore.live_model import LiveModel, TrainingImages
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import preset
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.load import load_generator
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import JOBS, draw_rooms, load_job
from tests.helpers.networks import drawn_generator
from tests.helpers.tracking_server import free_port

PATIENCE = 60_000
"""Milliseconds that a slow machine may take for what takes a second."""


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("rooms") / "shards", 40)


def save(generator: Generator, name: str, folder: Path) -> str:
    """A snapshot of a generator with a preset's shape; its path."""
    config = dataclasses.replace(preset(name), model=generator.config)
    save_checkpoint(folder, config, Progress(), {"generator": generator.state_dict()})
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(drawn_generator("mnist28"), "mnist28", tmp_path_factory.mktemp("run") / "snapshot")


@pytest.fixture
def address(model: str, rooms: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a demo of a generator with classes, with training images; nothing may be left in its folder, or run on."""
    port = str(free_port())
    command = [sys.executable, str(JOBS / "demo.py"), "--model", model, "--shards", str(rooms), "--port", port]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment |= {"PYTHONPATH": str(JOBS.parent)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            line = server.stdout.readline()
            yield re.findall(r"http://\S+:\d+", line)[0]
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, 130)  # as the signal meets the server before or after its end
    assert not list(tmp_path.iterdir())


def shown(picture: Locator) -> np.ndarray:
    """The pixels of a picture on the page."""
    expect(picture).to_have_attribute("src", re.compile("^data:image/png"), timeout=PATIENCE)
    data = (picture.get_attribute("src") or "").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_samples_walk_arithmetic_classes_and_nearest_images_in_a_browser(
    address: str, browser: Browser, model: str, tmp_path: Path
) -> None:
    generator = load_generator(model)

    def sample(seed: int, number: int, label: int) -> np.ndarray:
        images = sample_images(generator, 64, seed=seed, labels=[label] * 64)
        return to_uint8(images, generator.config.output)[number, 0].numpy().astype(int)

    asked: set[str | None] = set()
    with browser.new_page(viewport={"width": 1000, "height": 1400}) as page:
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        page.goto(address)
        assert abs(shown(page.get_by_alt_text("sample 0:3", exact=True)) - sample(0, 3, 0)).max() <= 1
        first_walk = shown(page.get_by_alt_text("images from one sample to the other"))
        first_sum = shown(page.get_by_alt_text("the samples of A, B and C"))

        page.get_by_label("Seed").fill("7")
        page.get_by_label("Seed").press("Enter")
        picked = page.get_by_alt_text("sample 7:5", exact=True)
        assert abs(shown(picked) - sample(7, 5, 0)).max() <= 1
        page.get_by_label("Class").click()
        page.get_by_role("option", name="4", exact=True).click()
        wait_for_another(page, picked, sample(7, 5, 0))
        assert abs(shown(picked) - sample(7, 5, 4)).max() <= 1

        picked.click()
        expect(page.get_by_text("Sample 7:5")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("40 of 40 training images")).to_be_visible(timeout=PATIENCE)
        shown(page.get_by_alt_text("the picked sample beside its nearest"))
        page.get_by_role("button", name="Walk to it").click()
        expect(page.get_by_label("To sample")).to_have_value("7:5")
        page.get_by_role("button", name="Add to B").click()
        expect(page.get_by_label("B", exact=True)).to_have_value("0:1 7:5")
        wait_for_another(page, page.get_by_alt_text("images from one sample to the other"), first_walk)
        wait_for_another(page, page.get_by_alt_text("the samples of A, B and C"), first_sum)
        page.get_by_label("A", exact=True).fill("../z.npy")
        page.get_by_role("button", name="Calculate").click()
        expect(page.get_by_text("names no samples")).to_be_visible(timeout=PATIENCE)
        if folder := os.environ.get("DCGAN_DIST_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "demo.png", full_page=True)

    with pytest.raises(urllib.error.HTTPError, match="400"):  # a name elsewhere that comes to mean this machine
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "elsewhere.example"}), timeout=30)
    assert asked - {None} == {"127.0.0.1"}  # None: pictures inside the page


def wait_for_another(page: Page, picture: Locator, before: np.ndarray) -> None:
    """Wait until a picture is not what it was."""
    for _ in range(100):
        now = shown(picture)
        if now.shape != before.shape or (now != before).any():
            return
        page.wait_for_timeout(100)
    raise AssertionError("the picture stayed as it was")


def test_the_nearest_training_image_is_found_by_its_pixels(rooms: Path) -> None:
    config = preset("demo32").model
    real = TrainingImages(str(rooms), "train", 1000, config, crop="centre")
    images = read_images(load_manifest(str(rooms)), 40, image_size=32)

    found, distance, usual = real.nearest(images[17] ^ 1)

    assert (found == images[17]).all()
    assert distance == pytest.approx(1)
    others = [(images[17].float() - image.float()).square().mean().sqrt() for image in images]
    assert usual == pytest.approx(float(sorted(others)[1]))


def test_pictures_of_a_live_model_are_those_of_the_explorations(generator: Generator) -> None:
    live = LiveModel(generator)

    images = live.samples(8, seed=3)

    assert abs(images - sample_images(generator, 8, seed=3)).max() < 1e-5
    assert (live.numbered("3:2, 5", seed=3) == live.numbered("2 5", seed=3)[[0, 1]]).all()
    with pytest.raises(InputError, match="one for each end"):
        live.walk("1 2", "3", seed=0)
    with pytest.raises(InputError, match="`shards`"):
        live.nearest("1", seed=0)


@pytest.mark.parametrize("port", ["80000", "taken"])
def test_a_port_that_cannot_be_had_is_refused_before_a_model_is_loaded(port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        given = str(other.getsockname()[1]) if port == "taken" else port
        with pytest.raises(InputError, match="`port`"):
            load_job("demo")(["--model", "no/such/model", "--port", given])
