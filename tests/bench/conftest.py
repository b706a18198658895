"""Benchmarks as they are started, on sizes so small that their figures mean nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcgan_dist.bench.__main__ import main


@pytest.fixture
def figures(tmp_path: Path) -> Callable[..., Any]:
    """Runs a benchmark by its name with flags in one text; returns what it writes to --json."""

    def run(name: str, flags: str) -> Any:
        assert main([name, *flags.split(), "--json", str(tmp_path / "figures.json")]) == 0
        return json.loads((tmp_path / "figures.json").read_text())

    return run
