"""Nearest neighbours equal float64 brute force, ties included."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.errors import InputError
from dcgan_dist.neighbors import tiles
from dcgan_dist.neighbors.nearest import NearestL2, nearest_codes, nearest_l2
from dcgan_dist.neighbors.projection_filter import ProjectionFilter
from dcgan_dist.neighbors.tiles import Tile, float_products


def sorted_distances(queries: np.ndarray, database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All distances of each query in float64, rising, among equals by id; and the ids."""
    difference = queries[:, None].astype(np.float64) - database[None].astype(np.float64)
    distances = np.sqrt((difference**2).sum(2))
    ids = np.argsort(distances, 1, kind="stable")
    return np.take_along_axis(distances, ids, 1), ids


def vectors(n: int, dimension: int, dtype: str, rng: np.random.Generator, values: int = 256) -> np.ndarray:
    """uint8, or whole float32 numbers, whose distances in float64 are exact: ties are real."""
    return rng.integers(0, values, (n, dimension)).astype(dtype)


@settings(max_examples=80, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "float32"]),
    q=st.integers(1, 30),
    n=st.integers(1, 120),
    dimension=st.integers(1, 70),
    values=st.sampled_from([1, 2, 256]),
    k=st.integers(1, 12),
    cut=st.integers(0, 120),
    seed=st.integers(0, 2**20),
)
def test_l2_equals_float64_with_ties_to_the_lowest_id(
    dtype: str, q: int, n: int, dimension: int, values: int, k: int, cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, database = (vectors(rows, dimension, dtype, rng, values) for rows in (q, n))
    expected_distances, expected_ids = sorted_distances(queries, database)

    distances, ids = nearest_l2(queries, [database[:cut], database[cut:]], k)

    least = min(k, n)
    assert np.array_equal(ids[:, :least], expected_ids[:, :k])
    np.testing.assert_allclose(distances[:, :least], expected_distances[:, :k], rtol=1e-12)
    assert (ids[:, least:] == -1).all()
    assert np.isinf(distances[:, least:]).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_l2_over_several_tiles(dtype: str) -> None:
    rng = np.random.default_rng(0)
    queries, database = vectors(2100, 9, dtype, rng), vectors(9000, 9, dtype, rng)
    database[5000:6000] = database[:1000]

    distances, ids = nearest_l2(queries, database, 3)

    for query in range(0, 2100, 20):
        expected, order = sorted_distances(queries[query : query + 1], database)
        assert ids[query].tolist() == order[0, :3].tolist()
        np.testing.assert_allclose(distances[query], expected[0, :3], rtol=1e-12)


def like_images(n: int, dimension: int, directions: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 vectors that vary in a few directions, as those of images do, and a little in all."""
    mixing = np.random.default_rng(1).normal(0, 40, (directions, dimension))
    values = 128 + rng.normal(size=(n, directions)) @ mixing / directions**0.5 + rng.normal(0, 4, (n, dimension))
    return values.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("k", "directions"), [(1, 4), (4, 20), (3, 400)])
def test_l2_of_vectors_that_vary_in_few_directions_equals_brute_force(k: int, directions: int) -> None:
    rng = np.random.default_rng(directions)
    queries, database = (like_images(n, 300, directions, rng) for n in (150, 9000))
    database[8000:8400] = database[:400]  # ties
    database[-100:] = queries[:100]

    distances, ids = nearest_l2(queries, [database[:5000], database[5000:]], k)

    expected_distances, expected_ids = sorted_distances_by_products(queries, database)
    assert np.array_equal(ids, expected_ids[:, :k])
    np.testing.assert_allclose(distances, expected_distances[:, :k], rtol=1e-12)


def sorted_distances_by_products(queries: np.ndarray, database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same as `sorted_distances`; whole numbers are exact in float64."""
    a, b = queries.astype(np.float64), database.astype(np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    ids = np.argsort(squared, 1, kind="stable")
    return np.sqrt(np.take_along_axis(squared, ids, 1)), ids


@settings(max_examples=40, deadline=None)
@given(
    directions=st.integers(1, 60),
    dimension=st.sampled_from([256, 784, 3072]),
    quantile=st.floats(0, 0.02),
    seed=st.integers(0, 2**20),
)
def test_a_projection_rules_out_no_row_that_is_near_enough(
    directions: int, dimension: int, quantile: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, rows = (like_images(n, dimension, directions, rng) for n in (20, 400))
    squared = sorted_distances_by_products(queries, rows)[0] ** 2
    worst = np.quantile(squared, quantile, axis=1)
    tile, other = (Tile(0, vectors, "cpu") for vectors in (queries, rows))

    near = ProjectionFilter([tile]).near_pairs(tile, other, torch.from_numpy(worst))

    if near is not None:
        exact = tile.squared_distances(other, *near)
        wanted = (squared.round() < worst[:, None]).sum(1)
        found = np.bincount(near[0][exact < worst[near[0]]], minlength=20)
        assert np.array_equal(found, wanted)


def test_most_rows_of_images_are_ruled_out_by_their_projections() -> None:
    rng = np.random.default_rng(0)
    tile, rows = (Tile(0, like_images(n, 784, 20, rng), "cpu") for n in (100, 4000))
    worst = torch.full((100,), 784 * 2 * 5.0**2).double()  # as far as two images of one place lie apart

    near = ProjectionFilter([tile]).near_pairs(tile, rows, worst)

    assert near is not None
    assert len(near[0]) < 0.01 * 100 * 4000


@pytest.mark.parametrize("dimension", [1, 784, 1024, 1025, 3072])
def test_products_and_distances_of_extreme_int8_vectors_are_exact(
    dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(dimension)
    a = np.where(rng.random((40, dimension)) < 0.7, 0, 255).astype(np.uint8)  # -128 and 127 once shifted
    b = np.concatenate([a[:20], 255 - a[:20], np.zeros_like(a[:1]), np.full_like(a[:1], 255)])
    tile, rows = Tile(0, a, "cpu"), Tile(0, b, "cpu")
    first, second = (side.ravel() for side in np.indices((len(a), len(b))))
    expected = np.square(a[:, None].astype(np.int64) - b).sum(2)

    products = float_products(tile.vectors, rows.vectors).numpy()
    compiled = tile.squared_distances(rows, first, second)
    monkeypatch.setattr(tiles, "library", lambda: None)
    by_torch = tile.squared_distances(rows, first, second)

    assert np.array_equal(products, (a.astype(np.int64) - 128) @ (b.astype(np.int64) - 128).T)
    assert np.array_equal(compiled, expected.ravel())
    assert np.array_equal(by_torch, expected.ravel())


def test_near_ties_that_float32_cannot_tell_apart_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(1000, 1, (1, 500)).astype(np.float32)
    database = np.repeat(query, 400, 0)
    # Squared distances of 1e-6 to 1e-2 beside squared lengths of 5e8.
    database[np.arange(400), np.arange(400)] += rng.permutation(np.linspace(1e-3, 1e-1, 400)).astype(np.float32)
    expected_distances, expected_ids = sorted_distances(query, database)

    distances, ids = nearest_l2(query, database, 5)

    assert ids.tolist() == expected_ids[:, :5].tolist()
    np.testing.assert_allclose(distances, expected_distances[:, :5], rtol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_only_one_block_of_the_database_is_kept(dtype: str) -> None:
    made: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(20):
            alive.append(sum(block() is not None for block in made))
            block = np.zeros((100, 8), dtype)
            made.append(weakref.ref(block))
            yield block

    nearest_l2(np.zeros((3, 8), dtype), blocks())

    assert len(made) == 20
    assert max(alive) == 1


@pytest.mark.parametrize("width", [1, 2, 16, 20])
def test_nearest_codes_equal_brute_force_with_ties_to_the_lowest_id(width: int) -> None:
    rng = np.random.default_rng(width)
    queries, database = (rng.integers(0, 4, (n, width), np.uint8) for n in (50, 3000))
    differing = np.bitwise_count(queries[:, None] ^ database[None]).sum(2)
    order = np.argsort(differing, 1, kind="stable")

    for k in (1, 7, 100):
        distances, ids = nearest_codes(queries, database, k)

        assert np.array_equal(ids, order[:, :k])
        assert np.array_equal(distances, np.take_along_axis(differing, order, 1)[:, :k])
        assert (distances.dtype, ids.dtype) == (np.int32, np.int64)


@pytest.mark.parametrize(
    ("queries", "database", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "float64"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32), "float32"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8), r"\(4,\)"),
        (np.full((2, 3), np.nan, np.float32), np.zeros((2, 3), np.float32), "finite"),
        (np.zeros((2, 3), np.float32), np.full((2, 3), np.inf, np.float32), "finite"),
    ],
)
def test_wrong_vectors_are_named(queries: np.ndarray, database: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nearest_l2(queries, database)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_l2_on_a_gpu_equals_the_cpu(dtype: str) -> None:
    rng = np.random.default_rng(0)
    queries, database = vectors(300, 3072, dtype, rng), vectors(20_001, 3072, dtype, rng)
    on_cpu, on_gpu = NearestL2(queries, 3, "cpu"), NearestL2(queries, 3, "cuda")

    for search in (on_cpu, on_gpu):
        search.add(database)

    assert np.array_equal(on_cpu.ids, on_gpu.ids)
    assert np.array_equal(on_cpu.distances, on_gpu.distances)
