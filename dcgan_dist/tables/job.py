"""What the jobs that fill a table of the paper share: options, data, discriminators to compare, and what they write."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.result_file import RESULT_NAME, write_result
from dcgan_dist.data.shards.manifest import MANIFEST_NAME, Manifest, load_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.registry.load import is_untrained
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.tables.extract import Workers
from dcgan_dist.tables.paper_tables import Row, as_text
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable

SHARDS, FEATURES = "shards", "features"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableOptions:
    """How a table of the paper is filled."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/NAME, a checkpoint folder, a folder of the authors' arrays, or,
    where a discriminator is wanted, untrained:PRESET, that of a preset before training."""
    data: str
    """What jobs/prepare_* read, or the shards that they write."""
    out: str
    """Folder for result.json and all that is kept between calls; the same command again goes on."""
    protocol: Literal["paper", "small"] = "paper"
    """paper: as published; small: fewer images, for a look within minutes, not comparable."""
    seed: int = 0
    """Of the splits, of the draws of labels, and of a random or untrained discriminator."""
    cpus: int = 1
    """Processes that compute features, by Ray; 1: this one; 0: as many as the cluster has CPUs."""
    use_gpu: bool = False
    """Compute on a GPU."""
    tracking_uri: str = ""
    """MLflow server or database; default $MLFLOW_TRACKING_URI, else the default storage's."""
    experiment: str = "dcgan_dist"
    """MLflow experiment."""
    track: bool = True
    """Keep the result in MLflow too."""
    dry_run: bool = False
    """Check model and data, say what would be done, and write nothing."""

    def __post_init__(self) -> None:
        if self.cpus < 0 or self.seed < 0:
            raise InputError(f"`cpus` {self.cpus} and `seed` {self.seed} must not be negative")
        if self.use_gpu and not torch.cuda.is_available():
            raise InputError("`use_gpu`: this machine has no GPU that torch can use; leave it out")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeOptions(TableOptions):
    """How a table of linear machines on features is filled."""

    dtype: Literal["float16", "float32"] = "float16"
    """Of the features' files."""
    controls: bool = True
    """Also the rows that show what training is worth: a random discriminator of the same shape, pixels."""

    @property
    def workers(self) -> Workers:
        """Who computes features."""
        return Workers(count=self.cpus, use_gpu=self.use_gpu, dtype=self.dtype)


def complete(options: Any) -> Any:
    """The same options with every place absolute.

    Raises:
        InputError: a relative path inside a Ray job, or a tracking URI that shows a password.
    """
    named = options.model
    return dataclasses.replace(
        options,
        model=named if in_registry(named) or is_untrained(named) else absolute(named, "model"),
        data=absolute(options.data, "data"),
        out=absolute(options.out, "out"),
        tracking_uri=absolute_tracking_uri(options.tracking_uri),
    )


def is_prepared(data: str) -> bool:
    """Whether --data is a folder or URI of shards, not a data set as it is published."""
    return is_uri(data) or Path(data).name == MANIFEST_NAME or (Path(data) / MANIFEST_NAME).is_file()


def count_images(options: TableOptions, source: Callable[[str], Source]) -> dict[str, int]:
    """Images of every split, without writing anything.

    Raises:
        InputError: the data cannot be used.
    """
    counts: dict[str, int] = {}
    if is_prepared(options.data):
        manifest = load_manifest(options.data)
        return {split: manifest.split(split).samples for split in manifest.splits}
    for item in _of_data(lambda: source(options.data).items()):
        counts[item.split] = counts.get(item.split, 0) + 1
    return counts


def describe_features(options: ProbeOptions, counts: dict[str, int], images: int, dimensions: int) -> str:
    """What a dry run says.

    Args:
        options: of the job.
        counts: images of every split.
        images: of them that are used.
        dimensions: features of an image.
    """
    size = images * dimensions * (2 if options.dtype == "float16" else 4) / 1e9
    return (
        f"{options}\n{counts} images; {images:,} x {dimensions} features of each discriminator, {size:.2f} GB\n"
        "nothing was written"
    )


def open_data(options: TableOptions, source: Callable[[str], Source]) -> Manifest:
    """The data set as shards; one that is given as it is published is written as shards below --out first.

    Raises:
        InputError: the data cannot be used.
    """
    if is_prepared(options.data):
        return load_manifest(options.data)
    folder = Path(options.out) / SHARDS / content_hash(options.data)[:8]
    shards = ShardOptions(out=str(folder), layout="blocks", cpus=1)
    return _of_data(lambda: prepare(source(options.data), shards).manifest)


def _of_data(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except InputError as error:
        raise error.renamed(source="data") from error


def turned(discriminator: Discriminator) -> Discriminator:
    """The same with every kernel turned by 180 degrees, as if the authors' arrays were read without their turn."""
    network = copy.deepcopy(discriminator)
    with torch.no_grad():
        for layer in network.convolutions:
            assert isinstance(layer, torch.nn.Conv2d)
            layer.weight.copy_(layer.weight.flip(2, 3))
    return network


class TableJob:
    """A table from its start on: at its end it is written to result.json, printed and handed to MLflow."""

    def __init__(self, table: str, options: TableOptions, columns: Sequence[str]) -> None:
        """Begin.

        Args:
            table: name.
            options: of the job.
            columns: that are printed.

        Raises:
            InputError: the tracking server cannot be used, which is better known before the work than after it.
        """
        if options.track:
            check_reachable(options.tracking_uri)
        self.table, self.options, self.columns = table, options, list(columns)
        self.began = time.monotonic()

    def finish(self, ours: Row, others: Sequence[Row], paper: dict[str, Row], details: dict[str, Any]) -> int:
        """Write, print, and record.

        Args:
            ours: the row of --model.
            others: further rows that were measured.
            paper: published rows; "dcgan" is the one that ours is to be compared with.
            details: of data and protocol.

        Returns:
            Exit code 0.

        Raises:
            InputError: the folder cannot be written, or the tracking server cannot be used; then the result is written
                all the same.
        """
        rows = [ours, *others, *paper.values()]
        result = {
            "table": self.table,
            "protocol": self.options.protocol,
            "row": dataclasses.asdict(ours),
            "paper_row": dataclasses.asdict(paper["dcgan"]),
            "deviations": list(ours.deviations),
            "rows": [dataclasses.asdict(row) for row in rows],
            "model": self.options.model,
            "seed": self.options.seed,
            "seconds": round(time.monotonic() - self.began, 1),
            **details,
        }
        folder = Path(self.options.out)
        path = write_result(folder, result)
        print(as_text(rows, self.columns))
        print(f"result in {path}")
        if self.options.track:
            write_result(folder, result | {"mlflow_run_id": self._track(result, ours, others)})
        return 0

    def _track(self, result: dict[str, Any], ours: Row, others: Sequence[Row]) -> str:
        params = {key: value for key, value in dataclasses.asdict(self.options).items() if key != "tracking_uri"}
        run = TrackedRun.create(
            self.options.tracking_uri,
            self.options.experiment,
            f"table-{self.table}-{self.options.protocol}",
            params,
            environment_tags() | {"table": self.table, "deviations": "; ".join(ours.deviations)},
        )
        metrics = {f"table/{column}": value for column, value in ours.figures.items() if value is not None}
        for row in others:
            name = row.details.get("key", row.name)
            metrics |= {f"table/{name}/{column}": value for column, value in row.figures.items() if value is not None}
        run.log_metrics(metrics, 0)
        run.log_dict(result, RESULT_NAME)
        run.finish("FINISHED")
        return run.run_id
