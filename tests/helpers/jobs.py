"""Jobs as the tests call them."""

import importlib
from collections.abc import Callable
from pathlib import Path

JOBS = Path(__file__).parents[2] / "jobs"


def load_job(name: str) -> Callable[[list[str]], int]:
    """`main` of jobs/<name>.py."""
    return importlib.import_module(f"jobs.{name}").main


def draw_rooms(folder: Path, n: int, *flags: str, image_size: int = 32) -> Path:
    """Let jobs/prepare_rooms.py write shards of n rooms into a folder, in this process; returns the folder."""
    sizes = ["--n", str(n), "--image-size", str(image_size), "--cpus", "1"]
    assert load_job("prepare_rooms")([*sizes, "--out", str(folder), *flags]) == 0
    return folder
