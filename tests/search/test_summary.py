"""Lines about trainings that have ended fit a terminal."""

from typing import Any

import pytest

from dcgan_dist.search.few_labels import DIGITS
from dcgan_dist.search.plan import SearchPlan, plan_search
from dcgan_dist.search.search_config import SearchConfig
from dcgan_dist.search.summary import repeat_line, trial_line

LONG = "NonFiniteError: " + "loss of a batch " * 40


@pytest.fixture(scope="module")
def plan() -> SearchPlan:
    return plan_search(SearchConfig(data=DIGITS, protocol="small", trials=128))


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"status": "STOPPED", "validation_error_percent": 88.888}, "error 88.89 %, stopped"),
        ({"status": "FINISHED", "validation_error_percent": 5.0}, "error  5.00 %"),
        ({"status": "FAILED", "error": LONG}, "failed: NonFiniteError"),
        ({"status": "STOPPED"}, "no measurement, stopped"),
    ],
)
def test_a_line_about_a_trial_fits_100_columns(outcome: dict[str, Any], said: str, plan: SearchPlan) -> None:
    finished = {"status": "FINISHED", "validation_error_percent": 20.714}
    others = dict.fromkeys(range(100, 127), finished)

    line = trial_line(plan, others | {99: outcome | {"seconds": 12345.6}}, 99, 360_000)

    assert len(line) <= 100
    assert said in line
    assert line.endswith("ETA 100:00:00")


def test_a_line_about_a_repeat_fits_100_columns() -> None:
    outcomes = {
        1: {"status": "FAILED", "error": LONG},
        2: {"status": "FINISHED", "validation_error_percent": 20.7, "test_error_percent": 100.0},
    }

    assert len(repeat_line(outcomes, 1, 10)) == 100
    assert repeat_line(outcomes, 2, 10).endswith("validation error 20.70 %, test error 100.00 %")
