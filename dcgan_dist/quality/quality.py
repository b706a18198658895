"""How good and how varied samples are, from numbers that need no labels and no downloaded weights."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dcgan_dist.models.pixel_ranges import Output, from_uint8
from dcgan_dist.quality.frechet import FeatureStatistics
from dcgan_dist.quality.random_features import RandomFeatures

NAMED_PREFIXES = {1_000: "1k", 10_000: "10k"}
BLOCK = 1024  # held-out images compared at once: 50 MB at 64 pixels


class Reference:
    """Held-out real images with the statistics of their features, computed once for all measurements of a run.

    Args:
        held_out: (m, c, s, s) uint8, m at least 2; stays where it is.
        output: range of the generator that is compared.
        device: where features and distances are computed; None: where the images are.
        inception_weights: file for the figures on Inception features; empty: not measured.

    Raises:
        InputError: the file of weights cannot be used.
    """

    def __init__(
        self,
        held_out: Tensor,
        *,
        output: Output = "tanh",
        device: torch.device | str | None = None,
        inception_weights: str = "",
    ) -> None:
        assert held_out.dtype == torch.uint8, held_out.dtype
        assert len(held_out) > 1, held_out.shape
        self.images = held_out
        self.output: Output = output
        self.device = torch.device(device or held_out.device)
        self.random = RandomFeatures().to(self.device)
        self.inception = None
        if inception_weights:
            # torch-fidelity takes 4 s to import, in every process of a run, and few runs name the weights.
            from dcgan_dist.quality.inception import InceptionFeatures

            self.inception = InceptionFeatures(inception_weights).to(self.device)
        self.random_statistics = FeatureStatistics()
        inception = [self.add_features(block, self.random_statistics) for block in self.blocks(256)]
        self.inception_features = torch.cat(inception)

    def blocks(self, size: int) -> Iterator[Tensor]:
        """The images as floats in the generator's range, on the device."""
        for block in self.images.split(size):
            yield from_uint8(block.to(self.device), self.output)

    def add_features(self, images: Tensor, random: FeatureStatistics) -> Tensor:
        """Add random features of images in the generator's range to their statistics; their Inception features, if any."""
        images = images.float() if self.output == "tanh" else images.float() * 2 - 1
        random.add(self.random(images))
        return torch.empty(0) if self.inception is None else self.inception(images).cpu()


def measure_quality(fake_batches: Iterable[Tensor], reference: Reference) -> dict[str, float]:
    """Compare samples with held-out real images. No random state is used or changed.

    Args:
        fake_batches: (b, c, s, s) floats in the generator's range, on any device; at least 2 images together.
        reference: the held-out images.

    Returns:
        `quality/frechet_random`, `quality/nearest_1k` and `quality/nearest_10k` as far as there are samples (with fewer
        than 1,000 of them `quality/nearest_<their number>`); `quality/fid`, `quality/kid`, `quality/precision` and `quality/recall`
        where the Reference has Inception features.
    """
    random, inception = FeatureStatistics(), list[Tensor]()

    def watched() -> Iterator[Tensor]:
        for batch in fake_batches:
            batch = batch.to(reference.device)
            inception.append(reference.add_features(batch, random))
            yield batch

    nearest = nearest_distances(reference, watched(), tuple(NAMED_PREFIXES))
    named = {f"quality/nearest_{NAMED_PREFIXES[n]}": value for n, value in nearest.items() if n in NAMED_PREFIXES}
    quality = {"quality/frechet_random": random.distance(reference.random_statistics)}
    quality |= named or {f"quality/nearest_{n}": value for n, value in nearest.items()}
    if reference.inception is not None:
        from dcgan_dist.quality.inception import compare_features

        quality |= compare_features(torch.cat(inception), reference.inception_features)
    return quality


def nearest_distances(reference: Reference, batches: Iterable[Tensor], prefixes: tuple[int, ...]) -> dict[int, float]:
    """Mean distance of the held-out images to their nearest of the first n samples, for several n in one pass.

    Euclidean over all pixels as the networks see them, so in [-1, 1] (or [0, 1] with a sigmoid), which is what the
    authors' script logs. The nearest is found by matrix products, its distance computed from the difference, so that a
    copied image has distance 0.

    Args:
        reference: the held-out images.
        batches: samples in the generator's range.
        prefixes: the n.

    Returns:
        n -> mean distance, for each n that was reached and for the number of all samples.

    Source: `nnd_score` in lib/metrics.py and faces/train_uncond_dcgan.py of Newmu/dcgan_code.
    """
    distances = torch.full((len(reference.images),), torch.inf, device=reference.device)
    means: dict[int, float] = {}
    count = 0
    for batch in batches:
        fake = batch.to(reference.device).float().flatten(1)
        cuts = [n - count for n in sorted(prefixes) if count < n < count + len(fake)]
        for samples in torch.tensor_split(fake, cuts):
            squares = samples.square().sum(1)
            nearest = []
            for real in reference.blocks(BLOCK):
                real = real.flatten(1)
                ids = torch.addmm(squares, real, samples.T, alpha=-2).argmin(1)
                nearest.append((real - samples[ids]).norm(dim=1))
            distances = torch.minimum(distances, torch.cat(nearest))
            count += len(samples)
            if count in prefixes:
                means[count] = distances.double().mean().item()
    means[count] = distances.double().mean().item()
    return means
