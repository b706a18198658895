"""A small search: real digits in SVHN's form, and a space that two cores get through in a minute."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy.io import savemat

from dcgan_dist.search.few_labels import open_few_labels

SPACE = {
    "optimizer.lr": {"log_uniform": [1e-3, 1e-2]},
    "dropout": {"uniform": [0.0, 0.5]},
    "classifier.model.discriminator_width": {"choice": [1, 2]},
    "batch_size": {"choice": [50]},
    "epochs": {"choice": [1, 2]},
}


def write_mat(folder: Path, split: str, images: np.ndarray, labels: np.ndarray) -> Path:
    """A file like SVHN's of images (n, 32, 32, 3) and their digits; returns its folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)}
    savemat(folder / f"{split}_32x32.mat", content)
    return folder


def write_data(folder: Path) -> Path:
    """train_32x32.mat and test_32x32.mat of scikit-learn's digits, 700 and 200."""
    digits = open_few_labels("digits").train
    for split, rows in (("train", slice(0, 700)), ("test", slice(700, 900))):
        write_mat(folder, split, digits.images[rows].transpose(0, 2, 3, 1), digits.labels[rows])
    return folder


def write_space(file: Path, **changes: Any) -> Path:
    """A JSON file of distributions; changes are dotted paths with __ for the dot."""
    file.write_text(json.dumps(SPACE | {path.replace("__", "."): value for path, value in changes.items()}))
    return file


def children(tracking_uri: str, run_id: str) -> dict[int, Run]:
    """Nested runs of a run by trial number, as a plain client finds them."""
    client = MlflowClient(tracking_uri)
    nested = client.search_runs(
        [client.get_run(run_id).info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", max_results=1000
    )
    by_trial = {int(run.data.tags["trial"]): run for run in nested}
    assert len(by_trial) == len(nested), "one run per trial"
    return by_trial
