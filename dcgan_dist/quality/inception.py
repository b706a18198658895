"""The figures of the literature on Inception features, by torch-fidelity, with weights from a file that the user names."""

import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from dcgan_dist.errors import InputError, require

WANTED = (
    "name the file weights-inception-2015-12-05-6726825d.pth of torch-fidelity (or that of pytorch-fid), or leave "
    "`quality.inception_weights` empty"
)
SUBSET = 1000  # images of each of the subsets whose distances the KID averages
NEIGHBOURS = 3  # the nearest neighbour that ends the ball of an image in precision and recall


class InceptionFeatures(nn.Module):
    """The 2048 pooled features of the TensorFlow network of December 2015, which the figures in the literature are made of.

    Images are rounded to 8 bits, as when they are saved, and enlarged as TensorFlow did it.

    Args:
        path: file of weights, which is never unpickled.

    Raises:
        InputError: no such file, or not these weights.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        weights = io.BytesIO()
        torch.save(_read(Path(path).expanduser()), weights)  # the library unpickles what it is given
        weights.seek(0)
        try:
            with torch.random.fork_rng(devices=[]):  # it draws weights only to overwrite them
                self.network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=weights
                )
        except RuntimeError as error:
            raise InputError(f"{path} holds other weights than the FID network's: {WANTED}") from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (b, 3 or 1, s, s) floats in [-1, 1].

        Returns:
            (b, 2048) float32.
        """
        pixels = (images.float().expand(-1, 3, -1, -1) * 127.5 + 127.5).round().clamp(0, 255)
        return self.network(pixels.to(torch.uint8))[0]


def compare_features(fake: Tensor, real: Tensor) -> dict[str, float]:
    """FID, KID, precision and recall of samples, from the Inception features of at least 2 of them and of real images."""
    fewest = min(len(fake), len(real))
    fid = fid_statistics_to_metric(fid_features_to_statistics(fake), fid_features_to_statistics(real), verbose=False)
    kid = kid_features_to_metric(fake, real, kid_subset_size=min(SUBSET, fewest), verbose=False)
    coverage = prc_features_to_metric(
        fake, real, prc_neighborhood=min(NEIGHBOURS, fewest - 1), save_cpu_ram=True, verbose=False
    )
    return {
        "quality/fid": fid[KEY_METRIC_FID],
        "quality/kid": kid[KEY_METRIC_KID_MEAN],
        "quality/precision": coverage[KEY_METRIC_PRECISION],
        "quality/recall": coverage[KEY_METRIC_RECALL],
    }


def _read(path: Path) -> dict[str, Tensor]:
    require(path.is_file(), f"`quality.inception_weights` {path} is no file: {WANTED}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of a file of any content raises anything
        raise InputError(f"{path} is not a file of weights, or is damaged: {WANTED}") from error
    if not isinstance(weights, dict) or "fc.weight" not in weights:
        raise InputError(f"{path} is not a state dict of an Inception network: {WANTED}")
    if len(weights["fc.weight"]) == 1000:
        raise InputError(f"{path} holds torchvision's own Inception, whose distances are no FIDs: {WANTED}")
    return dict(weights)
