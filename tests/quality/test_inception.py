"""The figures on Inception features, with random weights in the layout of the file they are made for."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.models.latents import seeded
from dcgan_dist.models.pixel_ranges import from_uint8
from dcgan_dist.quality.frechet import FeatureStatistics
from dcgan_dist.quality.inception import InceptionFeatures, compare_features
from dcgan_dist.quality.quality import Reference, measure_quality


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = torchvision.models.Inception3(1008, aux_logits=False, init_weights=False).state_dict()
    torch.save({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}, path)
    return path


def test_figures_are_measured_from_a_weights_file(weights_file: Path, faces: Tensor) -> None:
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    reference = Reference(faces[:5], inception_weights=str(weights_file))

    quality = measure_quality(from_uint8(faces[8:13], "tanh").split(3), reference)

    assert torch.equal(torch.get_rng_state(), state)
    assert reference.inception_features.shape == (5, 2048)
    assert quality["quality/fid"] > 0
    assert {"quality/kid", "quality/precision", "quality/recall"} < quality.keys()


def test_figures_are_those_of_their_definitions() -> None:
    real, fake = (torch.randn(n, 16, generator=seeded(n)) * size for n, size in ((300, 1.0), (200, 0.5)))
    ours, theirs = FeatureStatistics(), FeatureStatistics()
    ours.add(fake)
    theirs.add(real)

    figures, same = compare_features(fake, real), compare_features(real[150:], real[:150])

    assert figures["quality/fid"] == pytest.approx(ours.distance(theirs), rel=1e-4)
    assert abs(same["quality/kid"]) < 0.5 * figures["quality/kid"]
    assert figures["quality/precision"] > 0.9  # all samples lie among real ones,
    assert figures["quality/recall"] < 0.5  # but the outer half of those is not made


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    text, foreign, torchvisions, pickled = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "d.pth"))
    text.write_text("hello")
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, foreign)
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, torchvisions)
    torch.save(compare_features, pickled)

    for path, message in (
        (text, "not a file of weights"),
        (pickled, "not a file of weights"),
        (foreign, "holds other weights"),
        (torchvisions, "torchvision's own"),
        (tmp_path, "is no file: name the file weights-inception"),
    ):
        with pytest.raises(InputError, match=message):
            InceptionFeatures(path)
