"""The FID network, with random weights in the layout of the file it is made for."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.models.ranges import from_uint8
from dcgan_dist.quality.inception import InceptionFeatures, build
from dcgan_dist.quality.quality import Reference, measure_quality


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build().state_dict()
    torch.save({name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}, path)
    return path


def test_fid_is_measured_from_a_weights_file(weights_file: Path, faces: Tensor) -> None:
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    reference = Reference(faces[:8], inception_weights=str(weights_file))

    quality = measure_quality([from_uint8(faces[8:16], "tanh")], reference)

    assert torch.equal(torch.get_rng_state(), state)
    assert reference.inception_statistics.mean.shape == (2048,)
    assert quality["quality/fid"] > 0


def test_border_pixels_are_averaged_over_the_map_only(weights_file: Path) -> None:
    network = InceptionFeatures.from_file(weights_file).network
    ordinary = torchvision.models.Inception3(1008, aux_logits=False, init_weights=False).eval()
    ordinary.load_state_dict(network.state_dict(), strict=False)
    ones = torch.ones(1, 192, 5, 5)

    with torch.no_grad():
        ours, theirs = network.Mixed_5b(ones), ordinary.Mixed_5b(ones)

    torch.testing.assert_close(ours[:, :, 1:-1, 1:-1], theirs[:, :, 1:-1, 1:-1])
    assert not torch.allclose(ours[:, -32:, 0, 0], theirs[:, -32:, 0, 0])
    torch.testing.assert_close(ours[:, -32:, 0, 0], ours[:, -32:, 2, 2])  # a constant map stays constant


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    text, foreign, torchvisions, pickled = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "d.pth"))
    text.write_text("hello")
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, foreign)
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, torchvisions)
    torch.save(build, pickled)

    for path, said in (
        (text, "not a file of weights"),
        (pickled, "not a file of weights"),
        (foreign, "holds other weights"),
        (torchvisions, "torchvision's own"),
        (tmp_path, "no file"),
    ):
        with pytest.raises(InputError, match=said):
            InceptionFeatures.from_file(path)
