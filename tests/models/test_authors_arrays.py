"""The authors' SVHN arrays: what their networks draw and tell apart, and what the importer refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torch.nn.functional as F
from scipy.signal import fftconvolve
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.models.authors_arrays import import_network
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.layers import BatchNorm
from dcgan_dist.models.standing_statistics import has_standing_statistics
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.quality import Reference, measure_quality
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry import standing_cache
from dcgan_dist.registry.load import load_discriminator, load_generator

# Shape of every array in the authors' order, for random stand-ins where only the format matters.
SHAPES = {
    "gen": [(100, 4096), (4096,), (4096,), (256, 128, 5, 5), (128,), (128,), (128, 64, 5, 5), (64,), (64,), (64, 3, 5, 5)],
    "discrim": [(64, 3, 5, 5), (128, 64, 5, 5), (128,), (128,), (256, 128, 5, 5), (256,), (256,), (4096, 1)],
}  # fmt: skip


def write_arrays(folder: Path) -> None:
    """Random arrays under the names that the authors' have."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    for kind, shapes in SHAPES.items():
        for number, shape in enumerate(shapes, start=1):
            np.save(folder / f"{kind}_params_{number:02}.npy", draw.normal(0, 0.05, shape).astype(np.float32))


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    write_arrays(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(real_data: Path) -> Tensor:
    """946 samples of the authors' generator with standing statistics, as any user gets them."""
    return sample_images(load_generator(str(real_data / "weights" / "svhn_unsup")), 946, seed=0)


@pytest.fixture(scope="module")
def digits(real_data: Path) -> Tensor:
    """(946, 3, 32, 32) in [-1, 1]."""
    pixels = scipy.io.loadmat(real_data / "svhn" / "train_32x32_first946.mat")["X"]
    return torch.from_numpy(pixels).permute(3, 2, 0, 1).float() / 127.5 - 1


def convolve(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Convolution (kernels flipped along both axes) by scipy, stride 2, padding 2: (b, n, s / 2, s / 2)."""
    return fftconvolve(x[:, None], kernels[None], axes=(3, 4)).sum(2)[:, :, 2:-2:2, 2:-2:2]


def test_the_discriminator_computes_what_its_arrays_mean_in_theano(arrays: Path) -> None:
    w, w2, g2, b2, w3, g3, b3, wy = (
        np.load(arrays / f"discrim_params_{i:02}.npy").astype(np.float64) for i in range(1, 9)
    )
    images = np.random.default_rng(1).uniform(-1, 1, (4, 3, 32, 32))

    h = F.leaky_relu(torch.from_numpy(convolve(images, w)), 0.2)
    for kernels, gain, bias in ((w2, g2, b2), (w3, g3, b3)):
        x, gain, bias = map(torch.from_numpy, (convolve(h.numpy(), kernels), gain, bias))
        h = F.leaky_relu(F.batch_norm(x, None, None, gain, bias, training=True, eps=1e-8), 0.2)
    expected = (h.flatten(1).numpy() @ wy)[:, 0]

    logits = import_network(arrays, Discriminator).double()(torch.from_numpy(images))

    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_a_layer_of_the_generator_is_the_transpose_of_theano_s_convolution(arrays: Path) -> None:
    kernels = np.load(arrays / "gen_params_10.npy").astype(np.float64)  # (64, 3, 5, 5): maps in, maps out
    draw = np.random.default_rng(2)
    x, y = draw.normal(size=(2, 64, 16, 16)), draw.normal(size=(2, 3, 32, 32))

    transposed = import_network(arrays, Generator).double().convolutions[2](torch.from_numpy(x)).detach().numpy()

    # <A' x, y> = <x, A y>
    assert (transposed * y).sum() == pytest.approx((x * convolve(y, kernels)).sum(), rel=1e-10)


def test_names_as_released_and_plain_names_give_the_same_network(arrays: Path, tmp_path: Path) -> None:
    for path in arrays.glob("discrim*"):
        shutil.copy(path, tmp_path / f"200_{path.name.replace('_params_', '_params.jl_')}")

    ours, theirs = (
        import_network(arrays, Discriminator).state_dict(),
        import_network(tmp_path, Discriminator).state_dict(),
    )

    assert all(torch.equal(ours[name], theirs[name]) for name in ours if "norm" not in name)


def test_a_folder_of_arrays_is_a_model_wherever_one_is_named(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing_cache, "BATCHES", 2)  # how many does not matter here

    assert has_standing_statistics(load_generator(str(arrays)))
    assert not has_standing_statistics(load_discriminator(str(arrays)))


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "lacks gen_params_04.npy"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "no plain .npy array"),
        (pickled, "no plain .npy array"),
        (lambda path: np.save(path, np.zeros((128, 256, 5, 5), np.float32)), r"\(128, 256, 5, 5\) where"),
        (lambda path: np.save(path, np.zeros((256, 128, 5, 5), np.int32)), "int32"),
        (lambda path: np.save(path, np.full((256, 128, 5, 5), np.nan, np.float32)), "NaN or infinity"),
        (lambda path: np.save(path.with_name("200_gen_params.jl_04.npy"), np.zeros(1)), "array 4 of gen_params twice"),
        (lambda path: np.save(path.with_name("gen_params_11.npy"), np.zeros(1)), "holds gen_params_11.npy too"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(arrays: Path, tmp_path: Path, damage, message: str) -> None:
    folder = Path(shutil.copytree(arrays, tmp_path / "arrays"))
    damage(folder / "gen_params_04.npy")

    with pytest.raises(InputError, match=message):
        load_generator(str(folder))


def like(reference: Tensor, images: Tensor) -> Tensor:
    """Images moved and stretched to the reference's mean and spread of each colour, over the whole set.

    The discriminator normalises each batch, so it cannot see the contrast of a batch, and the authors' generator has not
    learnt it: its images are 0.63 times as contrasty as real ones.
    """
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True)
    moved = (images - mean) / std * reference.std((0, 2, 3), keepdim=True) + reference.mean((0, 2, 3), keepdim=True)
    return moved.clamp(-1, 1)


def test_the_authors_generator_draws_what_real_digits_look_like(digits: Tensor, drawn: Tensor) -> None:
    def within(images: Tensor) -> float:
        return (images.std((2, 3)).mean() / images.std()).item()

    quality = measure_quality(like(digits, drawn).split(128), Reference(to_uint8(digits)))

    # Real digits seen in a mirror have 0.9, noise 207; without flipped kernels 9.3.
    assert quality["quality/frechet_random"] < 3
    assert within(drawn) == pytest.approx(within(digits), rel=0.05)


def test_the_authors_discriminator_knows_upright_digits_from_mirrored_and_generated_ones(
    real_data: Path, digits: Tensor, drawn: Tensor
) -> None:
    discriminator = load_discriminator(str(real_data / "weights" / "svhn_unsup"))
    discriminator.train()  # statistics of the batch, as it was trained

    def score(images: Tensor) -> float:
        with torch.no_grad():
            return torch.cat([discriminator(batch) for batch in images[:512].split(64)]).sigmoid().mean().item()

    assert score(digits) > 0.7
    assert score(digits.flip(3)) < 0.5
    assert score(drawn) < 0.2


def test_projection_of_the_authors_generator_is_normalised_per_unit(arrays: Path) -> None:
    generator = import_network(arrays, Generator)
    z = torch.randn(8, 100)
    w, gain, bias = (torch.from_numpy(np.load(arrays / f"gen_params_{i:02}.npy")) for i in (1, 2, 3))

    expected = F.batch_norm(z @ w, None, None, gain, bias, training=True, eps=1e-8).relu().view(8, 256, 4, 4)

    assert isinstance(generator.projection_norm, BatchNorm)
    torch.testing.assert_close(generator.layer_outputs(z)["projection"], expected)
