"""Sets made for measuring de-duplication: who copies whom, and what a plan for more cores is made of."""

from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.bench.dedup_peers import scored
from dcgan_dist.bench.dedup_sizes import (
    Composites,
    measure_size,
    original_of,
    planned,
    render_sizes,
    to_be_found,
    write_tars,
)


def test_no_copy_is_copied_and_one_image_in_twenty_is_a_copy() -> None:
    originals = {number: original for number in range(5000) if (original := original_of(number)) is not None}

    assert len(originals) == 249  # the first image has nothing to copy
    assert not originals.keys() & set(originals.values())
    assert all(original < number for number, original in originals.items())


def test_copies_are_counted_with_their_original_and_two_copies_of_one_are_no_mistake() -> None:
    planted = to_be_found(20_000)
    keys = {number: f"composite-{number:08d}" for number in range(20_000)}

    assert planted.copies == {
        frozenset((keys[original], keys[number])) for number in keys if (original := original_of(number)) is not None
    }
    siblings = planted.related - planted.copies
    assert siblings
    assert all(len({original_of(int(key[-8:])) for key in pair}) == 1 for pair in siblings)
    wrong = frozenset((keys[1], keys[2]))
    assert scored({wrong, *siblings, *planted.copies}, planted) == (1, 1 - 1 / (len(planted.related) + 1))
    assert scored(siblings, planted) == (0, 1)
    assert scored(set(), planted) == (0, 0)


@pytest.mark.slow
def test_a_measured_job_finds_the_copies_and_shows_every_stage(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (200, 5, 5, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    tars = write_tars(tmp_path / "tars", Composites(pictures=pictures), 600, 1)

    row = measure_size(tars, tmp_path / "dedup", 600, 1)

    assert row["recall"] > 0.8
    shown = render_sizes({"pictures": 200, "cores": 2, "cpus": 1, "sizes": [row]})
    assert all(stage in shown for stage in ("index", "thumbnails", "search", "verify", "cpu_seconds"))


def test_a_plan_for_more_cores_divides_tasks_and_nothing_else() -> None:
    in_tasks = {"index": 319.0, "thumbnails": 640.0, "coder": 3.0, "verify": 32.0}
    row = {
        "seconds": 1000.0,
        "in_tasks": in_tasks,
        "tasks": {"index": 64, "thumbnails": 64, "coder": 10, "verify": 65},
        "driver_beside_tasks": {"index": 13.0},
    }

    seconds, efficiency = planned(row, 2, 64)

    # 6 of 1,000 s were not in tasks. Of the tars' indexes the driver took in 13 s what one core made in 625 and 64 make in 10;
    # 65 blocks of pairs take two rounds.
    assert seconds == pytest.approx(6 + 13 + 1280 / 64 + 6 / 10 + 2 * 64 / 65)
    assert efficiency == pytest.approx((6 + 13 + 625 + 1280 + 6 + 64) / seconds / 64)
