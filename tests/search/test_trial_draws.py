"""What a search draws: pure functions of seed, number and path."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.config import flatten
from dcgan_dist.errors import InputError
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.search.trial_draws import (
    DIGITS,
    SPACES,
    SVHN,
    Choice,
    LogUniform,
    Uniform,
    draw_trial,
    open_space,
    to_json,
)


@given(seed=st.integers(0, 5), number=st.integers(0, 500))
def test_every_trial_lies_in_the_space_and_changes_nothing_else(seed: int, number: int) -> None:
    values = flatten(draw_trial(SVHN, SVHN_SUPERVISED, seed=seed, number=number))

    for path, distribution in SVHN.items():
        if isinstance(distribution, Choice):
            assert values[path] in distribution.values
        else:
            assert distribution.low * 0.999 <= values[path] <= distribution.high * 1.001
    unchanged = {path: value for path, value in flatten(SVHN_SUPERVISED).items() if path not in SVHN}
    assert {path: values[path] for path in unchanged} == unchanged | {"seed": number}


def test_draws_follow_their_distributions() -> None:
    trials = [flatten(draw_trial(SVHN, SVHN_SUPERVISED, seed=0, number=n)) for n in range(2000)]

    rates = np.log10([trial["optimizer.lr"] for trial in trials])
    # Uniform over two decades: mean -3, standard deviation 2 / sqrt(12), standard error 0.013.
    assert abs(rates.mean() + 3) < 0.05
    assert abs(rates.std() - 2 / 12**0.5) < 0.04
    widths = np.array([trial["classifier.model.discriminator_width"] for trial in trials])
    assert all(abs((widths == width).mean() - 0.25) < 0.04 for width in (32, 64, 96, 128))
    dropout = np.array([trial["dropout"] for trial in trials])
    assert abs(np.corrcoef(rates, dropout)[0, 1]) < 0.08, "parameters are drawn independently"


def test_more_trials_and_more_paths_leave_the_first_ones_as_they_were() -> None:
    narrow = {"optimizer.lr": LogUniform(1e-4, 1e-2)}
    wide = {"dropout": Uniform(0, 0.5), **narrow}

    for number in range(5):
        a, b = (draw_trial(space, SVHN_SUPERVISED, seed=1, number=number) for space in (narrow, wide))
        assert a.optimizer.lr == b.optimizer.lr
        assert a.optimizer.lr != draw_trial(narrow, SVHN_SUPERVISED, seed=2, number=number).optimizer.lr


def test_a_file_says_the_same_as_the_dict(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    for name, space in SPACES.items():
        file.write_text(json.dumps(to_json(space)))

        assert open_space(str(file), SVHN_SUPERVISED) == open_space(name, SVHN_SUPERVISED) == space
    assert to_json(DIGITS)["dropout"] == {"uniform": [0.0, 0.7]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "nor a JSON file"),
        ("[]", "Input should be an object"),
        ('{"optimizer.learning_rate": {"uniform": [0, 1]}}', "'optimizer.learning_rate', no field of a trial"),
        ('{"optimizer.lrr": {"uniform": [0, 1]}}', "did you mean 'optimizer.lr'"),
        ('{"seed": {"choice": [0, 1]}}', "'seed', no field"),
        ('{"optimizer.lr": {"loguniform": [0.1, 1]}}', "did you mean 'log_uniform'"),
        ('{"optimizer.lr": [0.1, 1]}', "is not like"),
        ('{"optimizer.lr": {"log_uniform": [0, 1]}}', "give the least and the greatest"),
        ('{"optimizer.lr": {"uniform": [1, 0.1]}}', "give the least and the greatest"),
        ('{"optimizer.lr": {"uniform": [0.1]}}', "give the least and the greatest"),
        ('{"optimizer.lr": {"uniform": [-1, 1]}}', "lr -1 must be positive"),
        ('{"dropout": {"uniform": [0, 1]}}', "dropout 1"),
        ('{"epochs": {"uniform": [1, 10]}}', "is a whole number"),
        ('{"epochs": {"uniform": [1.5, 10]}}', "is a whole number"),
        ('{"epochs": {"choice": ["many"]}}', "is a whole number"),
        ('{"epochs": {"choice": []}}', "a choice of nothing"),
        ('{"epochs": {"choice": [0]}}', "epochs 0 must be at least 1"),
        ('{"dropout": {"choice": ["none"]}}', "is of type float"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text(content)

    with pytest.raises(InputError, match=message):
        open_space(str(file), SVHN_SUPERVISED)
