"""Planted near duplicates: known, never of each other, and true to their attack."""

from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.attacks import ATTACKS, attack
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.room_drawing import draw_room
from dcgan_dist.prepare.sources.rooms import RoomSource
from jobs import prepare_rooms


def test_copies_are_attacked_originals_and_the_rest_is_as_it_was() -> None:
    rooms = RoomSource(n=40, image_size=16)
    source = plant_duplicates(rooms, 0.25)
    samples = {item.key: next(source.read(item)) for item in source.items()}

    truths = {key: sample.details or {} for key, sample in samples.items() if isinstance(sample, Sample)}
    copies = {key: details for key, details in truths.items() if "copy_of" in details}

    assert len(copies) == 10
    assert list(samples) == [item.key for item in rooms.items()]
    assert len(truths) == 40
    assert not {details["copy_of"] for details in copies.values()} & set(copies)
    assert {details["attack"] for details in copies.values()} == set(ATTACKS)
    for item in source.items():
        if item.key in copies:
            original = np.asarray(draw_room(0, item.ref.original.ref, 16)[0])
            expected = attack(item.ref.attack, original, item.ref.seed)
        else:
            expected = np.asarray(draw_room(0, item.ref, 16)[0])
        assert np.array_equal(samples[item.key].pixels, expected)  # type: ignore[union-attr]


def test_the_job_plants_and_writes_the_truth_beside_each_image(tmp_path: Path) -> None:
    arguments = ["--n", "30", "--image-size", "16", "--out", str(tmp_path), "--cpus", "1", "--duplicates", "0.2"]

    assert prepare_rooms.main(arguments) == 0

    with ShardSamples(load_manifest(str(tmp_path)), 0) as samples:
        details = list(samples.details(range(30)))
    assert sum("copy_of" in (truth or {}) for truth in details) == 6


def test_nothing_planted_is_the_source_itself() -> None:
    rooms = RoomSource(n=4)

    assert plant_duplicates(rooms, 0) is rooms


def test_more_copies_than_originals_are_refused() -> None:
    with pytest.raises(InputError, match="every copy needs an original"):
        plant_duplicates(RoomSource(n=4), 0.6).items()
