"""Groups against their definitions, written out with sets and loops."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.dedup.groups import EXACT_DIAMETER, components, diameters, leader_clusters, members

Graph = tuple[int, list[tuple[int, int]], list[int], list[bool]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Rows, edges i < j, an order of all rows, and which rows are protected."""
    n = draw(st.integers(1, 24))
    edges = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1])))
    return n, sorted(edges), draw(st.permutations(range(n))), draw(st.lists(st.booleans(), min_size=n, max_size=n))


def ends(edges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(edges, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def reachable(n: int, edges: list[tuple[int, int]]) -> list[set[int]]:
    found = [{row} for row in range(n)]
    for _ in range(n):
        for a, b in edges:
            found[a] = found[b] = found[a] | found[b]
            for row in found[a]:
                found[row] = found[a]
    return found


def clusters(graph: Graph) -> np.ndarray:
    n, edges, order, protected = graph
    return leader_clusters(n, *ends(edges), np.array(order, np.int64), np.array(protected))


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_components_are_what_can_be_reached(graph: Graph) -> None:
    n, edges, _, _ = graph

    found = components(n, *ends(edges))

    assert found.tolist() == [min(rows) for rows in reachable(n, edges)]


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_a_row_goes_to_the_first_of_its_neighbours_that_stay_and_only_protected_neighbours_both_stay(
    graph: Graph,
) -> None:
    n, edges, order, protected = graph
    leaders = clusters(graph).tolist()
    rank = {row: (not protected[row], order.index(row)) for row in range(n)}

    for row in range(n):
        neighbours = {a + b - row for a, b in edges if row in (a, b)}
        staying = [other for other in neighbours if leaders[other] == other]
        if leaders[row] != row:
            assert not protected[row]
            assert leaders[row] == min(staying, key=rank.__getitem__)
            assert rank[leaders[row]] < rank[row]
        else:
            assert all(protected[row] and protected[other] for other in staying)


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_grouping_what_stays_again_changes_nothing(graph: Graph) -> None:
    n, edges, order, protected = graph
    leaders = clusters(graph)
    between_leaders = [(a, b) for a, b in edges if leaders[a] == a and leaders[b] == b]

    again = clusters((n, between_leaders, order, protected))

    assert (again == np.arange(n)).all()


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_members_are_the_groups_of_two_and_more(graph: Graph) -> None:
    n, edges, _, _ = graph

    groups = members(components(n, *ends(edges)))

    expected = {tuple(sorted(rows)) for rows in reachable(n, edges) if len(rows) > 1}
    assert {tuple(groups[i].tolist()) for i in range(len(groups))} == expected
    assert groups.sizes.tolist() == [len(groups[i]) for i in range(len(groups))]


@given(graphs(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_a_diameter_is_the_largest_distance_in_the_group(graph: Graph, seed: int) -> None:
    n, edges, _, _ = graph
    codes = np.random.default_rng(seed).integers(0, 256, (n, 2), dtype=np.uint8)
    groups = members(components(n, *ends(edges)))

    for group, widest in enumerate(diameters(codes, groups).tolist()):
        pairs = itertools.combinations(codes[groups[group]], 2)
        assert widest == max(int(np.unpackbits(a ^ b).sum()) for a, b in pairs)


def test_a_chain_is_one_component_of_large_diameter_and_several_leader_clusters() -> None:
    codes = np.packbits(np.tri(33, 32, -1, dtype=np.uint8), axis=1)  # each row one bit further than the last
    first, second = np.arange(32), np.arange(1, 33)
    nobody = np.zeros(33, bool)

    chain = members(components(33, first, second))
    leaders = leader_clusters(33, first, second, np.arange(33), nobody)

    assert chain.sizes.tolist() == [33]
    assert diameters(codes, chain).tolist() == [32]
    assert (leaders == np.arange(33)).sum() == 17


def test_the_diameter_of_a_huge_group_is_bounded_from_below() -> None:
    n = EXACT_DIAMETER + 2
    codes = np.zeros((n, 2), np.uint8)
    codes[0, 0], codes[7, 0], codes[n - 1, 1] = 0, 15, 15
    groups = members(np.zeros(n, np.int64))

    assert diameters(codes, groups).tolist() == [8]


def test_no_rows_give_no_groups() -> None:
    nothing = np.zeros(0, np.int64)

    assert len(members(components(0, nothing, nothing))) == 0
    assert len(leader_clusters(0, nothing, nothing, nothing, np.zeros(0, bool))) == 0
