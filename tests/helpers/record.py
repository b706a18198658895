"""What a tracked run lacks of the reports of its own checkpoints."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from dcgan_dist.training.whole_checkpoint import load_log


def missing_points(tracking_uri: str, result: dict[str, Any]) -> set[tuple[str, int]]:
    """(metric, images seen) of the log of the checkpoint in a result.json for which the tracked run has no point."""
    log = load_log(Path(result["checkpoint"]))
    told = {(name, line["images_seen"]) for line in log for name in line["metrics"]}
    assert told, "an empty log proves nothing"
    client = MlflowClient(tracking_uri)
    histories = {name: client.get_metric_history(result["run_id"], name) for name in {name for name, _ in told}}
    return told - {(name, point.step) for name, history in histories.items() for point in history}
