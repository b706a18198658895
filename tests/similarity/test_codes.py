"""Coders: the same codes for the same seed, after saving and loading, and near copies nearer than strangers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.models.autoencoder import Autoencoder, AutoencoderConfig
from dcgan_dist.prepare.attacks import ATTACKS, attack
from dcgan_dist.similarity import recommended_codes
from dcgan_dist.similarity.coder_files import ARRAYS, SETTINGS
from dcgan_dist.similarity.codes import Coder, load_coder
from dcgan_dist.similarity.paper_codes import PaperCoder, autoencoder_step
from dcgan_dist.similarity.radius import default_radius, pair_distances
from dcgan_dist.similarity.recommended_codes import fit_recommended

Images = NDArray[np.uint8]


def fit_paper(images: Images) -> PaperCoder:
    """An autoencoder after one pass over the images, in their order."""
    config = AutoencoderConfig(seed=1)
    network = Autoencoder(config)
    step = autoencoder_step(network, config)
    for number, batch in enumerate(torch.from_numpy(images).split(config.batch_size)):
        step(number, batch)
    return PaperCoder(network=network)


FIT = {"recommended": lambda images: fit_recommended(images, seed=1), "paper": fit_paper}


@pytest.mark.parametrize("kind", FIT)
def test_a_coder_is_the_same_for_the_same_seed_and_after_saving_and_its_bits_are_signs(
    kind: str, pictures: Images, tmp_path: Path
) -> None:
    coder: Coder = FIT[kind](pictures)
    embedding, codes = coder.embed(pictures), coder.encode(pictures)

    coder.save(tmp_path)
    loaded = load_coder(tmp_path)

    assert np.array_equal(FIT[kind](pictures).embed(pictures), embedding)
    assert (loaded.name, loaded.code_bits) == (kind, 128)
    assert np.array_equal(loaded.encode(pictures), codes)
    assert codes.shape == (len(pictures), 16)
    assert loaded.encode(pictures[:0]).shape == (0, 16)
    assert np.array_equal(np.unpackbits(codes, axis=1), embedding > 0)


def test_a_coder_does_not_depend_on_how_its_images_are_divided(
    pictures: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = fit_recommended(pictures)
    monkeypatch.setattr(recommended_codes, "FIT_BLOCK", 37)

    divided = fit_recommended(pictures, map_blocks=lambda function, blocks: [function(block) for block in blocks])

    np.testing.assert_allclose(divided.mean, coder.mean, rtol=1e-6)
    assert np.bitwise_count(divided.encode(pictures) ^ coder.encode(pictures)).sum() < 1e-4 * 128 * len(pictures)


def test_a_damaged_coder_is_named(pictures: Images, tmp_path: Path) -> None:
    fit_recommended(pictures).save(tmp_path)
    data = bytearray((tmp_path / ARRAYS).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / ARRAYS).write_bytes(data)

    with pytest.raises(InputError, match=r"coder\.npz does not match"):
        load_coder(tmp_path)


def test_a_coder_with_pickled_arrays_is_refused(pictures: Images, tmp_path: Path) -> None:
    import hashlib

    fit_recommended(pictures).save(tmp_path)
    np.savez(tmp_path / ARRAYS, mean=np.array([{"run": "me"}], dtype=object))
    about = json.loads((tmp_path / SETTINGS).read_text())
    about["sha256"] = hashlib.sha256((tmp_path / ARRAYS).read_bytes()).hexdigest()
    (tmp_path / SETTINGS).write_text(json.dumps(about))

    with pytest.raises(InputError, match="no readable coder"):
        load_coder(tmp_path)


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"settings": {"unknown": 1}}, {"settings": {"appearance": "0" * 16}}]
)
def test_a_coder_of_another_version_is_refused(change: dict, pictures: Images, tmp_path: Path) -> None:
    fit_recommended(pictures).save(tmp_path)
    about = json.loads((tmp_path / SETTINGS).read_text()) | change
    (tmp_path / SETTINGS).write_text(json.dumps(about))

    with pytest.raises(InputError, match=r"other"):
        load_coder(tmp_path)


@pytest.mark.parametrize("name", ATTACKS)
def test_planted_copies_of_faces_lie_within_the_default_radius(name: str, faces: list[Images], codes: Coder) -> None:
    from tests.similarity.conftest import as_thumbnails

    originals = codes.encode(as_thumbnails(faces))
    copies = codes.encode(as_thumbnails([attack(name, image, i) for i, image in enumerate(faces)]))
    distances = np.bitwise_count(originals ^ copies).sum(1)
    strangers = np.bitwise_count(originals ^ np.roll(copies, 1, axis=0)).sum(1)

    assert (distances <= default_radius(pair_distances(originals), len(originals))).mean() >= 0.9
    assert np.median(strangers) > np.quantile(distances, 0.95)


def test_a_larger_data_set_gets_a_smaller_radius() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (2000, 16), dtype=np.uint8)

    radii = [default_radius(pair_distances(codes), n) for n in (10, 1000, 100_000, 3_000_000)]

    assert radii == sorted(radii, reverse=True)
    assert radii[0] == 128
    assert radii[-1] > 30


def test_distances_of_random_pairs_of_fair_bits_are_those_of_all_pairs_and_half_of_the_bits() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (300, 4), dtype=np.uint8)
    apart = np.bitwise_count(codes[:, None] ^ codes[None]).sum(2)[np.triu_indices(len(codes), 1)]

    counts = pair_distances(codes)

    assert counts.tolist() == np.bincount(apart, minlength=33).tolist()
    assert abs((counts * np.arange(33)).sum() / counts.sum() - 16) < 0.1
    assert pair_distances(codes[:1]).sum() == pair_distances(codes[:0]).sum() == 0


def test_the_default_radius_keeps_its_promise() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (1500, 16), dtype=np.uint8)

    radius = default_radius(pair_distances(codes), len(codes), per_image=5.0)

    apart = np.bitwise_count(codes[:, None] ^ codes[None]).sum(2)[np.triu_indices(len(codes), 1)]
    assert (apart <= radius).sum() / len(codes) <= 5.0 < (apart <= radius + 1).sum() / len(codes)
