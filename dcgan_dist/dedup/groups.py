"""Groups of near duplicates: connected components, which show chains, and leader clusters, which decide what is kept.

In a component two images may be joined through others only. In a leader cluster every image is a near duplicate of its
leader itself, and no two leaders are near duplicates of each other: what the leaders leave out, each has its own reason.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = NDArray[np.int64]
EXACT_DIAMETER = 2048
"""Members up to which all distances inside a component are looked at."""


def components(n: int, first: Rows, second: Rows) -> Rows:
    """Number the connected components of a graph.

    Args:
        n: rows.
        first: (k,) one end of every edge.
        second: (k,) the other.

    Returns:
        (n,) the smallest row of each row's component.
    """
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    count, numbers = connected_components(graph, directed=False)
    smallest = np.full(count, n, np.int64)
    np.minimum.at(smallest, numbers, np.arange(n))
    return smallest[numbers]


def leader_clusters(n: int, first: Rows, second: Rows, order: Rows, protected: NDArray[np.bool_]) -> Rows:
    """Let rows take their neighbours, the best row first; a row that was taken takes nothing.

    Args:
        n: rows.
        first: (k,) one end of every edge.
        second: (k,) the other.
        order: every row that has an edge, the best first.
        protected: (n,) rows that nothing takes; they take before all others.

    Returns:
        (n,) the row that took each row; itself where none did.
    """
    leaders = np.arange(n, dtype=np.int64)
    place = np.zeros(n, np.int64)
    place[order] = np.arange(len(order))
    place[protected] -= n
    # Most rows have one neighbour, which has no other: the better of the two takes the other, and no turn need be waited for.
    edges = np.bincount(first, minlength=n) + np.bincount(second, minlength=n)
    alone = (edges[first] == 1) & (edges[second] == 1)
    ahead = place[first] < place[second]
    taker, other = np.where(ahead, first, second)[alone], np.where(ahead, second, first)[alone]
    leaders[other] = np.where(protected[other], other, taker)

    first, second = first[~alone], second[~alone]
    ends = np.concatenate([first, second])
    by_end = np.argsort(ends, kind="stable")
    neighbours = np.concatenate([second, first])[by_end]
    bounds = np.searchsorted(ends[by_end], np.arange(n + 1))
    free = ~protected
    rows = np.unique(ends)
    for row in rows[np.argsort(place[rows])].tolist():
        if leaders[row] != row:
            continue
        free[row] = False
        around = neighbours[bounds[row] : bounds[row + 1]]
        taken = around[free[around]]
        leaders[taken] = row
        free[taken] = False
    return leaders


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Members:
    """Rows of the groups that have more than one, group after group."""

    rows: Rows
    """(m,) rows, those of one group together, ascending."""
    starts: Rows
    """(g + 1,) where each group begins in `rows`, and the end."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, group: int) -> Rows:
        return self.rows[self.starts[group] : self.starts[group + 1]]

    @property
    def sizes(self) -> Rows:
        """(g,) members of each group."""
        return np.diff(self.starts)


def members(names: Rows) -> Members:
    """Collect the rows of each group that has at least two.

    Args:
        names: (n,) one name for all rows of a group, as `components` and `leader_clusters` give it.
    """
    sizes = np.bincount(names, minlength=len(names)) if len(names) else np.zeros(0, np.int64)
    rows = np.flatnonzero(sizes[names] > 1)
    rows = rows[np.argsort(names[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(names[rows], prepend=-1))
    return Members(rows=rows, starts=np.append(starts, len(rows)))


def diameters(codes: NDArray[np.uint8], groups: Members) -> Rows:
    """The largest Hamming distance inside each group: (g,) bits.

    In groups of more than EXACT_DIAMETER members a lower bound: the farthest from the member that is farthest from the first.
    """
    widest = np.zeros(len(groups), np.int64)
    pairs = np.flatnonzero(groups.sizes == 2)
    at = groups.starts[:-1][pairs]
    widest[pairs] = _distances(codes[groups.rows[at]], codes[groups.rows[at + 1]])
    for group in np.flatnonzero(groups.sizes > 2).tolist():
        inside = codes[groups[group]]
        if len(inside) > EXACT_DIAMETER:
            inside = inside[[int(_distances(inside[:1], inside).argmax()), *range(len(inside))]]
            widest[group] = _distances(inside[:1], inside).max()
        else:
            widest[group] = max(int(_distances(row, inside).max()) for row in inside)
    return widest


def _distances(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Rows:
    return np.bitwise_count(a ^ b).sum(-1, dtype=np.int64)
