"""pairs.csv reads back as what was written, whatever the keys."""

import csv
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.dedup import pairs_csv
from dcgan_dist.dedup.pair_files import ScoredPairs
from dcgan_dist.dedup.pairs_csv import write_pairs_csv


def test_every_pair_is_a_row_with_its_keys_distance_score_and_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs_csv, "BLOCK", 7)
    keys = ["a", "two, with a comma", 'b "quoted"', "gr\u00fcn/x", "line\nbreak", "z"]
    rng = np.random.default_rng(0)
    pairs = ScoredPairs(
        rng.integers(0, 6, 50),
        rng.integers(0, 6, 50),
        rng.integers(0, 129, 50).astype(np.int16),
        np.concatenate([[1, 0, -1.5], rng.uniform(-1, 1, 47)]).astype(np.float32),
    )
    accepted = rng.random(50) < 0.5

    write_pairs_csv(tmp_path / "pairs.csv", np.array([key.encode() for key in keys]), pairs, accepted)

    with (tmp_path / "pairs.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["key_a", "key_b", "distance", "score", "duplicate"]
    columns = (column.tolist() for column in (*pairs, accepted))
    assert rows == [
        [keys[a], keys[b], str(distance), f"{score:.3f}".replace("-0.000", "0.000"), str(int(flag))]
        for a, b, distance, score, flag in zip(*columns, strict=True)
    ]


def test_without_pairs_there_is_the_header_alone(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    pairs = ScoredPairs(nothing, nothing, nothing.astype(np.int16), nothing.astype(np.float32))

    write_pairs_csv(tmp_path / "pairs.csv", np.array([b"a"]), pairs, np.zeros(0, bool))

    assert (tmp_path / "pairs.csv").read_text().splitlines() == ["key_a,key_b,distance,score,duplicate"]
