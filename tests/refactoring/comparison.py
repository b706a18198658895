"""Differences between what was recorded and what is observed now."""

import json
from typing import Any

RENAMED_METRICS: dict[str, str] = {}
"""Old name of a metric -> its new one, as the log in a checkpoint and MLflow have it: {"score/real": "d/real"}."""

METRIC_FOLDERS = ("/log/", "/mlflow/")
"""What stands before the name of a metric in the name of a value."""


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for every name whose value changed, disappeared or is new."""
    before = {current_name(name): value for name, value in before.items()}
    texts = [{name: json.dumps(value, sort_keys=True) for name, value in values.items()} for values in (before, after)]
    return [
        f"{name}: {texts[0].get(name, 'nothing')} before, {texts[1].get(name, 'nothing')} after"
        for name in sorted(before.keys() | after.keys())
        if texts[0].get(name) != texts[1].get(name)
    ]


def current_name(name: str) -> str:
    """The name of a value after the metric in it was renamed."""
    for folder in METRIC_FOLDERS:
        owner, separator, metric = name.partition(folder)
        if separator:
            return owner + separator + RENAMED_METRICS.get(metric, metric)
    return name
