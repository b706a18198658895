"""What counts as a difference, and which flags are read from a help text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.jobs import JOBS
from tests.refactoring import __main__ as command
from tests.refactoring import comparison
from tests.refactoring.help_text import parse_flags, parse_subcommands


def test_a_changed_a_missing_and_a_new_value_are_differences_and_an_equal_one_is_not() -> None:
    before = {"changed": 1.0, "equal": [1, 2], "missing": "a"}
    after = {"changed": 1.0000000000000002, "equal": [1, 2], "new": None}

    assert comparison.differences(before, after) == [
        "changed: 1.0 before, 1.0000000000000002 after",
        'missing: "a" before, nothing after',
        "new: nothing before, null after",
    ]


def test_a_renamed_metric_compares_through_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"training/1-rank/log/score/real": "a", "training/1-rank/mlflow/score/real": "b", "score/real": "c"}
    after = {"training/1-rank/log/d/real": "a", "training/1-rank/mlflow/d/real": "x", "score/real": "c"}
    monkeypatch.setitem(comparison.RENAMED_METRICS, "score/real", "d/real")

    assert comparison.differences(before, after) == ['training/1-rank/mlflow/d/real: "b" before, "x" after']


@pytest.mark.parametrize(("tampered", "code"), [(False, 0), (True, 1)])
def test_compare_exits_1_only_after_a_difference(tmp_path: Path, tampered: bool, code: int) -> None:
    file = tmp_path / "before.json"
    assert command.main(["record", str(file), "--only", "probe"]) == 0
    values = json.loads(file.read_text())
    assert len(values) == 4
    if tampered:
        values["probe/few_rows/float64"] = "0" * 64
    file.write_text(json.dumps(values | {"training/1-rank/parameters": "of a part that is not run"}))

    assert command.main(["compare", str(file), "--only", "probe"]) == code


@pytest.mark.parametrize("columns", ["80", "120"])
def test_flags_of_a_help_text_are_the_same_at_any_width(columns: str) -> None:
    environment = os.environ | {"COLUMNS": columns, "PYTHONUTF8": "1", "PYTHONPATH": str(JOBS.parent)}
    command_line = [sys.executable, str(JOBS / "train_lsun.py"), "--help"]
    text = subprocess.run(command_line, env=environment, capture_output=True, encoding="utf-8", check=True).stdout

    flags = parse_flags(text)

    assert flags["--schedule"] == "{both,alternate} (default: both)"
    assert flags["--model.generator-maps"] == "[INT [INT ...]] (default: 8 4 2 1)"
    assert flags["--model.init-std"] == "FLOAT (default: 0.02)"  # the last of its group
    assert flags["--engine.unshuffle-images, --engine.no-unshuffle-images"].startswith("(default: ")
    assert [flag for flag, taken in flags.items() if not taken] == ["-h, --help"]


def test_subcommands_are_those_of_the_line_of_usage() -> None:
    assert parse_subcommands("usage: jobs/explore.py [-h] {walk,turn}\n\n--x {a,b}") == ["walk", "turn"]
    assert parse_subcommands("usage: jobs/sample.py [-h] [OPTIONS]\n\n--mode {a,b}") == []


def test_a_text_without_a_box_of_flags_is_refused() -> None:
    with pytest.raises(ValueError, match="no flag"):
        parse_flags("usage: jobs/sample.py [-h]\n\n  --model STR  (required)")
