"""The table of parts: each runs jobs, looks at what they wrote and gives values by name.

Left out everywhere, because it differs from run to run: seconds and rates, ids of runs, names of folders (the end of a
checkpoint's name is drawn at random), and what MLflow measures of the machine. Left out too is prose, which may be reworded.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from tests.helpers.search import write_space
from tests.refactoring.help_text import parse_flags, parse_subcommands
from tests.refactoring.workspace import JOBS, Workspace

Values = dict[str, Any]
CLOCK_METRICS = ("speed/", "system/")
"""Beginnings of the names of metrics that depend on clock or machine."""
TRIAL_FIELDS = (
    "config",
    "status",
    "validation_error_percent",
    "test_error_percent",
    "images_seen",
    "steps",
    "parameters",
)


def shards(workspace: Workspace) -> Values:
    """Bytes of prepared shards, their indexes and their manifest."""
    files = [path for end in ("*.tar", "*.npz", "manifest.json") for path in sorted(workspace.rooms.glob(end))]
    return {path.name: sha256_of_file(path) for path in files}


def inspection(workspace: Workspace) -> Values:
    """The report about prepared shards."""
    workspace.run("inspect_shards", "--shards", str(workspace.rooms), "--json", "inspection.json")
    return flatten(workspace.read_json("inspection.json"))


def training(workspace: Workspace) -> Values:
    """Parameters, sample grid and every metric of a run on one rank and on two."""
    values: Values = {}
    for ranks, result in workspace.runs.items():
        name = f"{ranks}-rank"
        values[f"{name}/parameters"] = result["sha256"]
        values[f"{name}/grid"] = sha256_of_file(Path(result["grid"]))
        log = [json.loads(line) for line in (Path(result["checkpoint"]) / "metrics.jsonl").read_text().splitlines()]
        for metric in sorted({metric for line in log for metric in line["metrics"]}):
            points = [[line["images_seen"], line["metrics"].get(metric)] for line in log]
            values[f"{name}/log/{metric}"] = sha256_of(points)
        for metric, points in tracked_metrics(result["tracking"], result["run_id"]).items():
            values[f"{name}/mlflow/{metric}"] = sha256_of(points)
    return values


def tracked_metrics(tracking_uri: str, run_id: str) -> dict[str, list[list[float]]]:
    """Steps and values of each metric of an MLflow run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    names = [name for name in client.get_run(run_id).data.metrics if not name.startswith(CLOCK_METRICS)]
    histories = {name: client.get_metric_history(run_id, name) for name in names}
    return {name: sorted([point.step, point.value] for point in points) for name, points in histories.items()}


def sampling(workspace: Workspace) -> Values:
    """A grid of samples of the trained generator."""
    workspace.run("sample", "--model", workspace.checkpoint, "--n", "16", "--out", "samples.png")
    return {"grid": sha256_of_file(workspace.folder / "samples.png")}


def walk(workspace: Workspace) -> Values:
    """Pictures and figures of a walk in the latent space of the trained generator."""
    size = ["--points", "2", "--steps", "3", "--frames", "2", "--real", "50"]
    workspace.run(
        "explore", "walk", "--model", workspace.checkpoint, "--shards", str(workspace.rooms), *size, "--out", "walk"
    )
    result = workspace.read_json("walk/result.json")
    values = flatten(result["figures"], "figures")
    for picture in result["pictures"]:
        if picture["file"].endswith(".png"):
            with Image.open(workspace.folder / "walk" / picture["file"]) as image:
                # The caption is prose, which may be reworded.
                pixels = image.convert("RGB").crop((0, 0, image.width, picture["caption_at"]))
            values[picture["file"]] = hashlib.sha256(pixels.tobytes()).hexdigest()
    return values


def duplicates(workspace: Workspace) -> Values:
    """Keep list, pairs and figures of de-duplication."""
    workspace.run("dedup_lsun", "--shards", str(workspace.rooms), "--out", "dedup", "--cpus", "1")
    keep_list = workspace.read_json("dedup/keep_list.json")
    lists = {name: sha256_of(keep_list[name]) for name in ("kept_runs", "dropped")}
    values = flatten(keep_list | lists, "keep_list")
    values["pairs.csv"] = sha256_of_file(workspace.folder / "dedup" / "pairs.csv")
    return values


def memorization(workspace: Workspace) -> Values:
    """Verdict and every statistic of a check of drawn rooms against others."""
    size = ["--n", "200", "--seed", "5", "--image-size", "32", "--cpus", "1"]
    workspace.run("prepare_rooms", *size, "--out", "generated")
    rooms = str(workspace.rooms)
    sets = ["--samples", "generated", "--train", rooms, "--held-out", rooms]
    workspace.run("check_memorization", *sets, "--out", "memorization")
    result = workspace.read_json("memorization/result.json")
    return flatten(
        {name: value for name, value in result.items() if name not in ("seconds", "reasons", "command", "job")}
    )


def probe(_: Workspace) -> Values:
    """Weights of linear support vector machines on drawn features, by both ways to solve for them."""
    import torch

    # The one import of the package: its weights are in no file. Follow it where it moves.
    from dcgan_dist.tables.linear_probe import FewRows, fit_linear_svm

    torch.set_num_threads(1)
    features = torch.randn(300, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(300) % 5
    values: Values = {}
    for dtype in (torch.float32, torch.float64):
        rows = features.to(dtype)
        many = fit_linear_svm(lambda rows=rows: iter(rows.split(100)), labels, 0.1, classes=5, dimensions=40)
        few = FewRows(rows[:30], labels[:30], classes=5).fit(0.1)
        for name, machine in (("many_rows", many), ("few_rows", few)):
            weights = torch.cat([machine.weights, machine.intercept[None]]).contiguous().numpy().tobytes()
            values[f"{name}/{str(dtype).removeprefix('torch.')}"] = hashlib.sha256(weights).hexdigest()
    return values


def search(workspace: Workspace) -> Values:
    """Every trial of a small search on scikit-learn's digits, and the best one's repetition."""
    write_space(workspace.folder / "space.json")
    size = ["--trials", "3", "--repeats", "1", "--space", "space.json"]
    workspace.run("search_svhn", "--data", "digits", *size, "--storage", "searches", "--run-name", "search")
    result = workspace.read_json("searches/search/result.json")
    values = {"data_hash": result["data_hash"], "best.trial": result["best"]["trial"]}
    for kind, number in (("trials", "trial"), ("repeats", "draw")):
        for trial in result[kind]:
            fields = {name: trial[name] for name in TRIAL_FIELDS if name in trial}
            values |= flatten(fields, f"{kind}.{trial[number]}")
    return values


def flags(workspace: Workspace) -> Values:
    """Every flag of every job and sub-command with its choices and its default."""
    commands = [[path.stem] for path in sorted(JOBS.glob("[!_]*.py"))]
    with ThreadPoolExecutor(2) as pool:
        texts = list(pool.map(lambda command: workspace.run(*command, "--help"), commands))
        nested = [
            [*command, name] for command, text in zip(commands, texts, strict=True) for name in parse_subcommands(text)
        ]
        texts += pool.map(lambda command: workspace.run(*command, "--help"), nested)
    return {
        f"{' '.join(command)} {flag}": taken.replace(str(workspace.folder), "~")
        for command, text in zip(commands + nested, texts, strict=True)
        for flag, taken in parse_flags(text).items()
    }


PARTS: dict[str, Callable[[Workspace], Values]] = {
    "shards": shards,
    "inspection": inspection,
    "training": training,
    "sampling": sampling,
    "walk": walk,
    "duplicates": duplicates,
    "memorization": memorization,
    "probe": probe,
    "search": search,
    "flags": flags,
}


def flatten(value: Any, name: str = "") -> Values:
    """What nested JSON objects hold, by dotted name; lists stay whole."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: leaf
        for key, inner in value.items()
        for path, leaf in flatten(inner, f"{name}.{key}" if name else str(key)).items()
    }


def sha256_of_file(path: Path) -> str:
    """Hash of its bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sha256_of(value: Any) -> str:
    """Hash of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
