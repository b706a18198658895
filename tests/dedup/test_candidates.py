"""A search in stripes finds what brute force finds, whatever the stripes, and goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.dedup import candidates
from dcgan_dist.dedup.candidates import CodeSearch, find_candidates
from dcgan_dist.errors import InputError
from dcgan_dist.neighbors.planner import SearchPlan

RADIUS = 14


@pytest.fixture
def codes() -> np.ndarray:
    """(400, 4) uint8: many pairs within RADIUS of 32 bits."""
    return np.random.default_rng(0).integers(0, 256, (400, 4), np.uint8)


@pytest.fixture(params=[1e9, 1e-4, 1e-6], ids=["one stripe", "some", "many"])
def stripe_seconds(request: pytest.FixtureRequest) -> float:
    return request.param


def brute_force(codes: np.ndarray, queries: np.ndarray, others: np.ndarray | None) -> list[tuple[int, int, int]]:
    distances = np.bitwise_count(codes[:, None] ^ codes[None]).sum(2)
    pairs = [
        (int(a), int(b)) if others is not None else (int(min(a, b)), int(max(a, b)))
        for i, a in enumerate(queries)
        for b in (queries[i + 1 :] if others is None else others)
    ]
    return sorted((a, b, int(distances[a, b])) for a, b in pairs if distances[a, b] <= RADIUS)


def found(
    searches: list[CodeSearch], folder: Path, *, ordered: bool, stripe_seconds: float = 1e9
) -> list[tuple[int, int, int]]:
    columns = find_candidates(searches, RADIUS, folder, 1, "search", ordered=ordered, stripe_seconds=stripe_seconds)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_pairs_among_themselves_are_those_of_brute_force(
    codes: np.ndarray, stripe_seconds: float, tmp_path: Path
) -> None:
    rows = np.arange(3, 400, 2)

    pairs = found([CodeSearch(queries=rows, codes=codes[rows])], tmp_path, ordered=True, stripe_seconds=stripe_seconds)

    assert pairs == brute_force(codes, rows, None)


def test_a_node_without_the_planned_method_finds_the_same_pairs_by_another(
    codes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = SearchPlan(method="faiss_gpu", seconds=1, candidates=1)  # on a machine with a GPU it is there
    monkeypatch.setattr(candidates, "plan_pairs", lambda *_, **__: plan)

    pairs = found([CodeSearch(queries=np.arange(400), codes=codes)], tmp_path, ordered=True, stripe_seconds=0.01)

    assert pairs == brute_force(codes, np.arange(400), None)


def test_queries_among_others_find_the_pairs_of_brute_force(
    codes: np.ndarray, stripe_seconds: float, tmp_path: Path
) -> None:
    rows, others = np.arange(200, 300), np.arange(0, 400, 3)
    search = CodeSearch(queries=rows, codes=codes[rows], others=others, other_codes=codes[others])

    pairs = found([search], tmp_path, ordered=False, stripe_seconds=stripe_seconds)

    assert pairs == brute_force(codes, rows, others)


def test_stripes_that_were_searched_are_not_searched_again_whatever_the_plan_says_then(
    codes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, searched = CodeSearch(queries=np.arange(400), codes=codes), []
    search_stripe = candidates._search_stripe

    def interrupted(
        shared: tuple[list[CodeSearch], list[str], int, bool, Path], stripe: candidates.Stripe
    ) -> candidates.Candidates:
        if len(searched) == 2:
            raise KeyboardInterrupt
        searched.append(stripe)
        return search_stripe(shared, stripe)

    monkeypatch.setattr(candidates, "_search_stripe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found([search], tmp_path, ordered=True, stripe_seconds=1e-6)  # some stripes on any processor
    before = list(searched)
    monkeypatch.setattr(candidates, "_search_stripe", lambda *task: searched.append(task[1]) or search_stripe(*task))
    (tmp_path / before[0].file).write_bytes(b"torn")

    pairs = found([search], tmp_path, ordered=True, stripe_seconds=1e-7)

    assert pairs == brute_force(codes, np.arange(400), None)
    assert [stripe.number for stripe in searched[2:]] == [number for number in range(before[0].count) if number != 1]


def test_more_pairs_than_fit_end_the_search(codes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MOST_PAIRS", 100)

    with pytest.raises(InputError, match=r"more than 100 pairs within 14 bits: give a smaller `radius`"):
        found([CodeSearch(queries=np.arange(400), codes=codes)], tmp_path, ordered=True)
