"""Pairs within a radius equal brute force, whatever the codes, the radius and the method."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.neighbors import faiss_search, native, native_search, planner
from dcgan_dist.neighbors.hamming import pairs_within, plan_pairs
from dcgan_dist.neighbors.matrix_products import product_pairs
from dcgan_dist.neighbors.native import library
from dcgan_dist.neighbors.native_search import block_pairs
from dcgan_dist.neighbors.pairs import Pairs
from dcgan_dist.neighbors.pigeonhole import choose_blocks
from dcgan_dist.neighbors.planner import plan_search

Codes = NDArray[np.uint8]
EXACT = ("blocks", "tiles", "faiss_hash", "faiss_flat", "product")
AVAILABLE = EXACT if library() else EXACT[2:]


def brute_force(codes: Codes, radius: int, others: Codes | None = None) -> NDArray[np.int64]:
    """(k, 3) first, second, distance, in order."""
    database = codes if others is None else others
    distances = np.unpackbits(codes[:, None] ^ database[None], axis=2).sum(2)
    first, second = np.nonzero(distances <= radius)
    rows = np.stack([first, second, distances[first, second]], 1).astype(np.int64)
    return rows if others is not None else rows[rows[:, 0] < rows[:, 1]]


def sorted_rows(blocks: list[Pairs]) -> NDArray[np.int64]:
    """The same of what a search yields; a pair that it yields twice is there twice."""
    rows = np.concatenate([np.stack(pairs, 1).astype(np.int64) for pairs in blocks] or [np.zeros((0, 3), np.int64)])
    return rows[np.lexsort(rows.T[::-1])]


def random_codes(n: int, rng: np.random.Generator, width: int = 16) -> Codes:
    """Uniform, with copies in which 0 to 33 bits are flipped, so that every radius has pairs at its edge."""
    codes = rng.integers(0, 256, (n, width), np.uint8)
    bits = np.unpackbits(codes, axis=1)
    for flips in range(min(34, n // 2, 8 * width)):
        bits[n - 1 - flips] = bits[flips]
        bits[n - 1 - flips, rng.choice(8 * width, flips, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def skewed_codes(n: int, rng: np.random.Generator) -> Codes:
    """Most bits nearly always the same, and groups of bits that go together: many pairs at every distance."""
    shares = rng.choice([0.02, 0.5, 0.97], 32)
    bits = np.repeat(rng.random((n, 32)) < shares, 4, axis=1)
    return np.packbits(bits ^ (rng.random((n, 128)) < 0.02), axis=1)


def equal(n: int, rng: np.random.Generator) -> Codes:
    return np.full((n, 16), rng.integers(256), np.uint8)


def adversarial_codes(n: int, rng: np.random.Generator) -> Codes:
    """Neighbours whose differing bits lie as evenly, or as closely together, as can be: the worst for blocks."""
    base = np.zeros((n, 128), bool)
    for row in range(n):
        flips = row % 34
        if row % 2:
            base[row, np.linspace(0, 127, flips).astype(int)] = True
        else:
            base[row, :flips] = True
    return np.packbits(base ^ rng.integers(0, 2, 128).astype(bool), axis=1)


KINDS = (random_codes, skewed_codes, equal, adversarial_codes)


def assert_all_equal_brute_force(codes: Codes, radius: int, others: Codes | None = None) -> None:
    expected = brute_force(codes, radius, others)
    for name in ("auto", *AVAILABLE):
        if name not in ("blocks", "faiss_hash") or radius < 8 * codes.shape[1]:
            pairs = list(pairs_within(codes, radius, others=others, method=name))
            assert np.array_equal(sorted_rows(pairs), expected), name


@pytest.fixture(params=AVAILABLE)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("radius", range(33))
@pytest.mark.parametrize("make", KINDS)
def test_every_method_equals_brute_force_at_every_radius(make, radius: int) -> None:
    assert_all_equal_brute_force(make(150, np.random.default_rng(radius)), radius)


@pytest.mark.parametrize("radius", [0, 1, 5, 8, 13, 32])
@pytest.mark.parametrize("make", KINDS)
def test_every_method_equals_brute_force_between_two_sets(make, radius: int) -> None:
    rng = np.random.default_rng(radius)
    codes, others = make(90, rng), make(140, rng)
    others[:60] = codes[20:80]

    assert_all_equal_brute_force(codes, radius, others)


@settings(max_examples=60, deadline=None)
@given(
    width=st.sampled_from([1, 3, 8, 16, 20, 33]),
    n=st.integers(0, 80),
    m=st.one_of(st.none(), st.integers(0, 50)),
    radius=st.integers(0, 45),
    values=st.integers(1, 256),
    seed=st.integers(0, 2**20),
)
def test_codes_of_any_length_and_number(width: int, n: int, m: int | None, radius: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, values, (n, width), np.uint8)
    others = None if m is None else rng.integers(0, values, (m, width), np.uint8)

    assert_all_equal_brute_force(codes, radius, others)


@pytest.mark.skipif(library() is None or platform.machine() != "x86_64", reason="no C++ compiler, or no x86")
@pytest.mark.parametrize("without", ["", "-mno-avx512f", "-mno-avx512f -mno-avx2"], ids=["native", "AVX2", "neither"])
def test_tiles_find_every_pair_on_every_kind_of_processor(
    without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, *without.split()))
    built = native._declare(native.load(tmp_path))
    monkeypatch.setattr(native_search, "library", lambda: built)
    monkeypatch.setattr(native_search, "_STRIPE", 700)  # neither one tile nor whole ones
    rng = np.random.default_rng(0)
    for width, radius in ((8, 12), (16, 37), (24, 70), (32, 255), (40, 130)):
        codes, others = random_codes(900, rng, width), random_codes(150, rng, width)

        np.testing.assert_array_equal(
            sorted_rows(list(pairs_within(codes, radius, method="tiles"))), brute_force(codes, radius)
        )
        np.testing.assert_array_equal(
            sorted_rows(list(pairs_within(codes, radius, others=others, method="tiles"))),
            brute_force(codes, radius, others),
        )


@pytest.mark.parametrize("agree", [1, 2, 3, 4])
@pytest.mark.skipif(library() is None, reason="no C++ compiler")
def test_any_number_of_agreeing_blocks_finds_every_pair_once(agree: int) -> None:
    for make in KINDS:
        codes = make(300, np.random.default_rng(agree))
        blocks = choose_blocks(codes, 6 + agree)

        assert np.array_equal(
            sorted_rows([pairs for _, pairs in block_pairs(codes, None, 6, blocks)]), brute_force(codes, 6)
        )
        assert (blocks.sum(0) == 1).all()
        assert blocks.any(1).all()


def test_many_pairs_come_in_blocks_of_bounded_size(method: str) -> None:
    codes = np.zeros((2600, 16), np.uint8)
    codes[::2, 0] = 1

    blocks = list(pairs_within(codes, 1, method=method))

    assert sum(len(pairs.first) for pairs in blocks) == 2600 * 2599 // 2
    assert len(blocks) > 1 or method.startswith("faiss") or method == "product"
    assert (sorted_rows(blocks)[:, 2] == (sorted_rows(blocks)[:, 0] ^ sorted_rows(blocks)[:, 1]) % 2).all()


def test_types_order_and_progress(method: str) -> None:
    codes = random_codes(1500, np.random.default_rng(0))
    shares: list[float] = []

    runs = [list(pairs_within(codes, 4, method=method, progress=shares.append)) for _ in range(2)]

    assert all(np.array_equal(a, b) for x, y in zip(*runs, strict=True) for a, b in zip(x, y, strict=True))
    assert [array.dtype for array in runs[0][0]] == [np.int64, np.int64, np.int16]
    assert shares[: len(shares) // 2] == sorted(shares[: len(shares) // 2])
    assert shares[-1] == pytest.approx(1)


def test_a_search_given_up_halfway_stops(method: str) -> None:
    search = pairs_within(np.zeros((3000, 16), np.uint8), 0, method=method)

    next(search)
    search.close()  # type: ignore[attr-defined]

    assert list(search) == []


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("most", [1, 7, 2048])
def test_neighbours_are_completed_where_they_overflow(make, most: int) -> None:
    # The search that a GPU would do, on the CPU: the same k-NN interface.
    codes = make(400, np.random.default_rng(most))
    others = make(300, np.random.default_rng(most + 1))
    for database in (None, others):
        index = faiss_search._flat(codes if database is None else database)

        blocks = [pairs for _, pairs in faiss_search.neighbour_pairs(index.search, codes, database, 9, most)]

        assert np.array_equal(sorted_rows(blocks), brute_force(codes, 9, database))


def test_products_over_several_blocks_find_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcgan_dist.neighbors.matrix_products._ROWS", 64)
    codes = random_codes(300, np.random.default_rng(0))

    for others in (None, codes[100:].copy()):
        shares, blocks = zip(*product_pairs(codes, others, 12, "cpu"), strict=True)

        assert np.array_equal(sorted_rows(list(blocks)), brute_force(codes, 12, others))
        assert sum(shares) == pytest.approx(1)


def test_hash_indexes_are_complete_to_the_radius() -> None:
    for bits in (8, 16, 64, 128, 256):
        for radius in range(min(bits, 40)):
            hashes, flips = faiss_search.hash_shape(bits, radius)

            assert hashes * (flips + 1) - 1 >= radius
            assert bits // hashes >= 1


def test_the_plan_follows_the_codes() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, 256, (200_000, 16), np.uint8)
    skewed = np.packbits(np.repeat(rng.integers(0, 2, (200_000, 16)), 8, axis=1), axis=1)

    plans = {name: plan_pairs(codes, 8) for name, codes in (("uniform", uniform), ("skewed", skewed))}

    assert plans["skewed"].candidates > 2 * plans["uniform"].candidates
    assert plans["uniform"].method in str(plans["uniform"])
    assert plan_pairs(uniform[:100], 8).seconds < plans["uniform"].seconds
    assert plan_pairs(uniform, 60).candidates == 200_000 * 199_999 / 2


@pytest.mark.skipif(not library(), reason="a compiler is missing")
@pytest.mark.parametrize("radius", [2, 8, 20, 40])
@pytest.mark.parametrize(("n", "m"), [(200_000, 0), (3_000_000, 0), (10_000, 3_000_000)])
def test_a_plan_is_the_cheapest_of_all_even_where_some_are_not_worked_out(radius: int, n: int, m: int) -> None:
    rng = np.random.default_rng(radius)
    sample = np.packbits(rng.random((2000, 128)) < rng.uniform(0.2, 0.8, 128), axis=1)

    tiles, blocks = (plan_search(n, m, 128, radius, sample, method) for method in ("tiles", "blocks"))

    # Where many cores make the first one short, no other is worked out.
    expected = tiles if tiles.seconds < planner._SHORT else min(tiles, blocks, key=lambda plan: plan.seconds)
    assert plan_search(n, m, 128, radius, sample).seconds == expected.seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codes": np.zeros((2, 2), np.int64)}, "uint8"),
        ({"codes": np.zeros(2, np.uint8)}, "uint8"),
        ({"codes": np.zeros((2, 2), np.uint8), "others": np.zeros((2, 3), np.uint8)}, "2 bytes and others 3"),
        ({"codes": np.zeros((2, 2), np.uint8), "radius": -1}, "negative"),
        ({"codes": np.zeros((2, 2), np.uint8), "method": "guess"}, "faiss_hash"),
        ({"codes": np.zeros((2, 2), np.uint8), "method": "faiss_gpu"}, "tiles|faiss_flat"),
    ],
)
def test_wrong_input_is_named_before_the_search(arguments: dict[str, Any], message: str) -> None:
    if arguments.get("method") == "faiss_gpu" and faiss_search.faiss.get_num_gpus():
        pytest.skip("there is a GPU")

    with pytest.raises(InputError, match=message):
        pairs_within(**{"radius": 1, **arguments})  # pyright: ignore


@pytest.mark.gpu
@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", ["faiss_gpu", "product"])
def test_searches_on_a_gpu_equal_those_on_the_cpu(make, name: str) -> None:
    codes = make(20_000, np.random.default_rng(0)) if make is not equal else make(3_000, np.random.default_rng(0))

    for radius in (0, 8):
        expected = sorted_rows(list(pairs_within(codes, radius, method="tiles" if library() else "faiss_flat")))
        assert np.array_equal(sorted_rows(list(pairs_within(codes, radius, method=name))), expected)
