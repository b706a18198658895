"""Both kinds of place for tracked runs."""

from typing import Any

from dcgan_dist.tracking.runs import TrackedRun
from tests.helpers.tracking_places import _nothing_in_the_working_directory, database, server, tracking_uri  # noqa: F401


def create(tracking_uri: str, **params: Any) -> TrackedRun:  # noqa: F811
    """A run without tags."""
    return TrackedRun.create(tracking_uri, "tests", "a run", params, {})


def history(run: TrackedRun, key: str = "loss/d") -> list[tuple[int, float]]:
    """(step, value) of every point of a metric."""
    return [(point.step, point.value) for point in run.client.get_metric_history(run.run_id, key)]
