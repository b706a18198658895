"""Quality signals, on real faces that are spoilt in known ways."""

import hashlib
import itertools
import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dcgan_dist.models.latents import seeded
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.quality.frechet import FeatureStatistics
from dcgan_dist.quality.quality import Reference, measure_quality, nearest_distances
from dcgan_dist.quality.random_features import RandomFeatures


@pytest.fixture(scope="module")
def reference(faces: Tensor) -> Reference:
    return Reference(faces[:400])


@pytest.fixture(scope="module")
def others(faces: Tensor) -> Tensor:
    """400 other faces, floats in [-1, 1]."""
    return from_uint8(faces[400:], "tanh")


def frechet(images: Tensor, reference: Reference) -> float:
    made = FeatureStatistics()
    made.add(reference.random(images))
    return made.distance(reference.random_statistics)


def blurred(images: Tensor, sigma: float) -> Tensor:
    radius = int(3 * sigma) + 1
    kernel = torch.exp(-torch.arange(-radius, radius + 1).float().square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).outer(kernel / kernel.sum()).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(images, (radius,) * 4, mode="reflect"), kernel, groups=3)


def noisy(images: Tensor, size: float) -> Tensor:
    return (images + size * torch.randn(images.shape, generator=seeded("noise"))).clamp(-1, 1)


def test_random_features_are_the_same_everywhere() -> None:
    digest = hashlib.sha256()
    for name, buffer in RandomFeatures().named_buffers():
        digest.update(name.encode() + buffer.numpy().tobytes())

    assert digest.hexdigest() == "c81a857b38e763bc8a8cd74656e0b297f04de4815a7e503a8855f6cf400280dd", (
        "the features changed: give RandomFeatures a new VERSION, as their distances cannot be compared any more"
    )


@pytest.mark.parametrize(("channels", "size"), [(3, 28), (1, 28), (3, 33), (3, 64)])
def test_random_features_take_every_size_and_grey(channels: int, size: int) -> None:
    images = torch.rand(3, channels, size, size, generator=seeded(size)) * 2 - 1

    features = RandomFeatures()(images)

    assert features.shape == (3, RandomFeatures.size)
    assert torch.isfinite(features).all()


def test_frechet_of_other_real_images_is_near_zero(others: Tensor, reference: Reference, bedrooms: Tensor) -> None:
    same = frechet(others, reference)

    assert same < 0.1 * reference.random_statistics.covariance.trace().item()
    assert frechet(from_uint8(bedrooms, "tanh"), reference) > 5 * same


@pytest.mark.parametrize("spoil", ["blur", "noise", "modes", "other data"])
def test_frechet_rises_with_every_way_of_spoiling(
    spoil: str, others: Tensor, reference: Reference, bedrooms: Tensor
) -> None:
    rooms = from_uint8(bedrooms, "tanh")
    steps = {
        "blur": [others] + [blurred(others, sigma) for sigma in (0.5, 0.7, 1, 2, 4)],
        "noise": [others] + [noisy(others, size) for size in (0.03, 0.06, 0.12, 0.25, 0.5)],
        "modes": [others[torch.arange(400) % different] for different in (400, 100, 40, 15, 5, 1)],
        "other data": [torch.cat([others[n:], rooms[:n]]) for n in (0, 40, 80, 120, 200)],
    }[spoil]

    distances = [frechet(images, reference) for images in steps]

    assert all(a < b for a, b in itertools.pairwise(distances)), distances
    assert distances[-1] > 2 * distances[0], distances


def test_nearest_distances_equal_brute_force(faces: Tensor, others: Tensor) -> None:
    held_out, batches = faces[:50], others[:130].split(32)

    distances = nearest_distances(Reference(held_out), batches, (32, 100))

    real = from_uint8(held_out, "tanh").double().flatten(1)
    for n in (32, 100, 130):
        expected = torch.cdist(real, others[:n].double().flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
        assert distances[n] == pytest.approx(expected.amin(1).mean().item(), rel=1e-5)
    assert sorted(distances) == [32, 100, 130]


def test_a_memorised_image_has_distance_zero(faces: Tensor) -> None:
    copies = from_uint8(faces[:64], "tanh").flip(0)

    assert nearest_distances(Reference(faces[:64]), copies.split(10), ())[64] == 0


def test_measuring_names_its_figures_and_disturbs_no_random_state(faces: Tensor, reference: Reference) -> None:
    many = from_uint8(faces.repeat(2, 1, 1, 1)[:1100], "tanh")
    state = torch.get_rng_state()

    small = measure_quality(many[:256].split(64), reference)
    large = measure_quality(many.split(100), reference)

    assert torch.equal(torch.get_rng_state(), state)
    assert set(small) == {"quality/frechet_random", "quality/nearest_256"}
    assert set(large) == {"quality/frechet_random", "quality/nearest_1k"}
    assert small["quality/frechet_random"] == pytest.approx(frechet(many[:256], reference), rel=1e-6)


def test_measuring_a_sigmoid_model_equals_measuring_the_same_images_in_tanh_range(faces: Tensor) -> None:
    real, fake = faces[:100], faces[100:200]

    tanh = measure_quality([from_uint8(fake, "tanh")], Reference(real))
    sigmoid = measure_quality([from_uint8(fake, "sigmoid")], Reference(real, output="sigmoid"))

    assert sigmoid["quality/frechet_random"] == pytest.approx(tanh["quality/frechet_random"], rel=1e-4)
    assert sigmoid["quality/nearest_100"] == pytest.approx(tanh["quality/nearest_100"] / 2, rel=1e-4)


def test_a_small_measurement_is_cheap(faces: Tensor, reference: Reference) -> None:
    fake = from_uint8(faces[:256], "tanh")
    started = time.perf_counter()

    measure_quality(fake.split(64), reference)

    assert time.perf_counter() - started < 2
