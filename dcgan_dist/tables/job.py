"""How a table of the paper is filled: model, data, measurements, result.json, text, MLflow."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri
from dcgan_dist.cli.progress import duration
from dcgan_dist.cli.result_file import RESULT_NAME, only_job, write_result
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Manifest
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import content_hash
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.registry.load import is_untrained
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.tables.paper_tables import Row, as_text
from dcgan_dist.tables.table_options import TableOptions, trains_first
from dcgan_dist.tables.train_first import train_first, training_config
from dcgan_dist.tables.work_seconds import Seconds, training_seconds
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable

SHARDS = "shards"


class Measured(NamedTuple):
    """Rows that were measured."""

    ours: Row
    """The row of `model`."""
    others: list[Row]
    """Further rows that were measured."""
    details: dict[str, Any]
    """Further keys of result.json, about data and protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """In what the tables differ; the options are those of the table's own job."""

    name: str
    source: Callable[[Any], Source]
    """The data set as it is published, from the options."""
    paper: dict[str, Row]
    """Published rows; "dcgan" is the one that ours is to be compared with."""
    columns: Callable[[Any], Sequence[str]]
    """Columns that are printed, from the options."""
    load: Callable[[Any], Any]
    """The network that `model` names, from the options; raises InputError for one that does not fit."""
    check: Callable[[Any, Any, Manifest], object]
    """Raises InputError for data that the table cannot be filled from, from the options, the network and the data."""
    samples: dict[str, int]
    """Images of the official splits; a split `val` was cut off `train`."""
    work: Callable[[Any, dict[str, int], Any], str]
    """What a dry run says will be done, from the options, the images of every split and the network."""
    seconds: Callable[[Any, dict[str, int], Any], Seconds]
    """How long it takes here by kind of work, measured, from the same."""
    measure: Callable[[Any, Any, Manifest], Measured]
    """All rows, from the options, the network and the data."""
    checkpoint: Callable[[str], tuple[str, str]] = lambda model: (model, "")
    """Which checkpoint is measured where `model` is the folder of a run, and why it; else `model` and nothing."""


def fill_table(table: Table, options: TableOptions) -> int:
    """Measure every row, write result.json, print the table, and hand it to MLflow.

    Returns:
        Exit code 0.

    Raises:
        InputError: model, data, folder or tracking server cannot be used; where only the tracking server failed at the
            end, the result is written all the same.
    """
    given = _complete(options)
    model, choice = table.checkpoint(given.model)
    options = dataclasses.replace(given, model=model)
    network = table.load(options)  # of a model that is trained first its shape, which is so refused before its training
    if options.dry_run:
        print(_dry_run(table, options, network))
        return 0
    if options.track:
        check_reachable(options.tracking_uri)  # better known before the work than after it
    with only_job(Path(options.out)):
        return _fill(table, given, options, network, choice)


def _fill(table: Table, given: TableOptions, options: TableOptions, network: Any, choice: str) -> int:
    """`fill_table` once model and folder are there; `choice` says why this checkpoint."""
    began = time.monotonic()
    manifest = open_data(options, table.source)
    table.check(options, network, manifest)  # before training, which may take days
    if trains_first(options.model):
        code, run = train_first(options, table.name, manifest)
        if code:
            return code
        model, choice = table.checkpoint(run)
        options = dataclasses.replace(options, model=model, epochs=0)
        network = table.load(options)
    measured = table.measure(options, network, manifest)
    other_data = f"data set {manifest.dataset}" if manifest.dataset != table.name else ""
    measured = _with_deviations(measured, choice, other_data)
    rows = [measured.ours, *measured.others, *table.paper.values()]
    result = _result(table, given, options, measured, rows) | {"seconds": round(time.monotonic() - began, 1)}
    folder = Path(options.out)
    path = write_result(folder, result)
    print(as_text(rows, list(table.columns(options))))
    print(f"result in {path}")
    if options.track:
        write_result(folder, result | {"mlflow_run_id": _track(given, measured, result)})
    return 0


def _with_deviations(measured: Measured, *deviations: str) -> Measured:
    """With further ones in our row; empty ones do not count."""
    ours = measured.ours
    return measured._replace(ours=dataclasses.replace(ours, deviations=(*ours.deviations, *filter(None, deviations))))


def _result(
    table: Table, given: TableOptions, options: TableOptions, measured: Measured, rows: Sequence[Row]
) -> dict[str, Any]:
    """Content of result.json, but for the seconds; `options` name what was measured for the model that was given."""
    return {
        "job": f"evaluate {table.name}",
        "table": table.name,
        "protocol": options.protocol,
        "row": dataclasses.asdict(measured.ours),
        "paper_row": dataclasses.asdict(table.paper["dcgan"]),
        "deviations": list(measured.ours.deviations),
        "rows": [dataclasses.asdict(row) for row in rows],
        "model": given.model,
        "measured": options.model,
        "seed": options.seed,
        **measured.details,
    }


def _dry_run(table: Table, options: TableOptions, network: Any) -> str:
    """What would be done, and the seconds that it takes here."""
    if is_prepared(options.data):
        table.check(options, network, load_manifest(options.data))
    counts = count_images(options, table.source)
    _check_counts(table, options, counts)
    seconds: Seconds = {}
    if trains_first(options.model):
        config = training_config(options, table.name, options.data)
        name = f"training of {config.preset} for {config.epochs} epochs"
        seconds[name] = training_seconds(config, counts.get("train", 0))
    seconds |= table.seconds(options, counts, network)
    return "\n".join(
        [
            f"{options}\n{counts} images; {table.work(options, counts, network)}",
            f"about {duration(sum(seconds.values()))} on this machine, from a short measurement of each kind of work:",
            *(f"  {duration(value)} {name}" for name, value in seconds.items()),
            "nothing was written",
        ]
    )


def _check_counts(table: Table, options: TableOptions, counts: dict[str, int]) -> None:
    """Raise InputError where the paper's protocol is asked for of data that is not complete."""
    for split, expected in table.samples.items():
        found = counts.get(split, 0) + (counts.get("val", 0) if split == "train" else 0)
        require(
            options.protocol != "paper" or found == expected,
            f"`data` {options.data} has {found:,} {split} images, and the official files have {expected:,}: give the complete "
            "files, or add `protocol=small`",
        )


def _complete(options: TableOptions) -> TableOptions:
    """The same options with every place absolute."""
    model = options.model
    return dataclasses.replace(
        options,
        model=model if in_registry(model) or is_untrained(model) or trains_first(model) else absolute(model, "model"),
        data=absolute(options.data, "data"),
        out=absolute(options.out, "out"),
        tracking_uri=absolute_tracking_uri(options.tracking_uri),
    )


def is_prepared(data: str) -> bool:
    """Whether `data` is a folder or URI of shards, not a data set as it is published."""
    return is_uri(data) or Path(data).name == MANIFEST_NAME or (Path(data) / MANIFEST_NAME).is_file()


def count_images(options: TableOptions, source: Callable[[Any], Source]) -> dict[str, int]:
    """Images of every split, without writing anything.

    Raises:
        InputError: the data cannot be used.
    """
    counts: dict[str, int] = {}
    if is_prepared(options.data):
        manifest = load_manifest(options.data)
        return {split: manifest.split(split).samples for split in manifest.splits}
    for item in _of_data(lambda: source(options).items()):
        counts[item.split] = counts.get(item.split, 0) + 1
    return counts


def open_data(options: TableOptions, source: Callable[[Any], Source]) -> Manifest:
    """The data set as shards; one that is given as it is published is written as shards below `out` first.

    Raises:
        InputError: the data cannot be used.
    """
    if is_prepared(options.data):
        return load_manifest(options.data)
    published = source(options)
    folder = Path(options.out) / SHARDS / content_hash(str(published))[:8]
    shards = ShardOptions(out=str(folder), layout="blocks", cpus=1)
    return _of_data(lambda: prepare(published, shards).manifest)


def _of_data(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except InputError as error:
        raise error.renamed(source="data") from error


def _track(options: TableOptions, measured: Measured, result: dict[str, Any]) -> str:
    """Record the table as a run of its own; returns the run's id."""
    ours, others = measured.ours, measured.others
    params = {key: value for key, value in dataclasses.asdict(options).items() if key != "tracking_uri"}
    run = TrackedRun.create(
        options.tracking_uri,
        options.experiment,
        f"table-{result['table']}-{options.protocol}",
        params,
        environment_tags() | {"table": result["table"], "deviations": "; ".join(ours.deviations)},
    )
    metrics = {f"table/{column}": value for column, value in ours.figures.items() if value is not None}
    for row in others:
        name = row.details.get("key", row.name)
        metrics |= {f"table/{name}/{column}": value for column, value in row.figures.items() if value is not None}
    run.log_metrics(metrics, 0)
    run.log_dict(result, RESULT_NAME)
    run.finish("FINISHED")
    return run.run_id
