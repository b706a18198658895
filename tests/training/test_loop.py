"""The loop: when it reports and saves, what it averages, and how it ends."""

from itertools import count, repeat

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dcgan_dist.training.loop import Intervals, NonFiniteError, Report, train


def one_rank(values: Tensor) -> Tensor:
    return values[None]


def run(intervals: Intervals, **changes: object) -> tuple[list[Report], list[int], int]:
    reports: list[Report] = []
    saves: list[int] = []
    arguments = {
        "step": lambda number, _: {"loss/d": torch.tensor(float(number))},
        "batches": repeat(None),
        "synchronise": one_rank,
        "report": reports.append,
        "save": saves.append,
    } | changes
    done = train(intervals=intervals, batch_size=4, **arguments)  # pyright: ignore[reportArgumentType]
    return reports, saves, done


def test_reports_and_saves_come_at_their_intervals_and_at_the_end() -> None:
    reports, saves, done = run(Intervals(first=0, last=11, report=3, save=5, also_save=(4,)))

    assert saves == [4, 5, 10, 11]
    assert [r.step for r in reports] == [3, 4, 5, 6, 9, 10, 11]
    assert [r.images_seen for r in reports] == [12, 16, 20, 24, 36, 40, 44]
    assert done == 11


def test_metrics_are_means_over_the_steps_since_the_last_report() -> None:
    reports, _, _ = run(Intervals(first=0, last=6, report=2, save=6))

    assert [r.metrics["loss/d"] for r in reports] == [0.5, 2.5, 4.5]


def test_metrics_are_means_over_ranks_and_only_over_steps_that_have_them() -> None:
    def alternate(number: int, _: object) -> dict[str, Tensor]:
        return {"loss/g" if number % 2 == 0 else "loss/d": torch.tensor(float(number))}

    reports, _, _ = run(
        Intervals(first=0, last=4, report=4, save=4),
        step=alternate,
        synchronise=lambda values: torch.stack([values, torch.cat([values[:-2] + 10, values[-2:]])]),
    )

    assert reports[0].metrics == {"loss/g": 6.0, "loss/d": 7.0}


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_resumed_loop_reports_what_the_straight_one_would_have(
    last: int, report: int, save: int, data: st.DataObject
) -> None:
    straight, saves, _ = run(Intervals(first=0, last=last, report=report, save=save))
    first = data.draw(st.sampled_from([0, *saves[:-1]]))

    resumed, _, _ = run(Intervals(first=first, last=last, report=report, save=save))

    expected = [(r.step, r.metrics) for r in straight if r.step > first]
    assert [(r.step, r.metrics) for r in resumed] == expected


def test_a_finished_run_takes_no_step() -> None:
    reports, saves, done = run(Intervals(first=5, last=5, report=1, save=1))

    assert (reports, saves, done) == ([], [], 5)


def test_a_loss_that_is_no_number_stops_all_ranks_naming_step_rank_and_value_before_a_save() -> None:
    def second_rank_breaks(values: Tensor) -> Tensor:
        broken = values.clone()
        if len(values) > 3:  # two steps, the wish to stop, the pace
            broken[0] = torch.nan
        return torch.stack([values, broken])

    saves: list[int] = []
    with pytest.raises(NonFiniteError, match=r"loss/d became nan in step 1 on rank 1"):
        run(Intervals(first=0, last=3, report=3, save=3), synchronise=second_rank_breaks, save=saves.append)

    assert not saves


def test_the_wish_of_any_rank_to_stop_saves_and_ends_the_run_on_all() -> None:
    other_rank_wants_to_stop = count()

    def synchronise(values: Tensor) -> Tensor:
        other = values.clone()
        other[-2] = float(next(other_rank_wants_to_stop) == 2)
        return torch.stack([values, other])

    reports, saves, done = run(Intervals(first=0, last=100, report=2, save=50), synchronise=synchronise)

    assert [r.step for r in reports] == [2, 4]
    assert saves == [4]
    assert done == 4
