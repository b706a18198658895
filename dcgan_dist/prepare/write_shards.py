"""From a source to a folder of shards: which item goes into which shard, and going on where a killed job stopped."""

import dataclasses
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Layout, Manifest, Shard, write_manifest
from dcgan_dist.data.shards.writer import Sample, write_shard
from dcgan_dist.errors import InputError
from dcgan_dist.files import whole_file
from dcgan_dist.prepare.plan import REJECTED_NAME, Prepared, ShardResult, ShardTask, fingerprint, plan_shards
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Rejected, Source

PROGRESS_FOLDER = ".prepare"

_log = logging.getLogger(__name__)


def make_shard(source: Source, task: ShardTask, layout: Layout, folder: str) -> ShardResult:
    """Write one output shard and note beside it that it is done.

    Raises:
        InputError: the folder cannot be seen from this machine, or cannot be written.
    """
    rejected: list[Rejected] = []
    items_by_samples: Counter[str] = Counter()

    def samples() -> Iterator[Sample]:
        for item in task.items:
            n = 0
            for result in source.read(item):
                if isinstance(result, Rejected):
                    rejected.append(result)
                else:
                    n += 1
                    yield result
            items_by_samples[str(n)] += 1

    notes = Path(folder) / PROGRESS_FOLDER
    if not notes.is_dir():
        raise InputError(f"`out` {folder} cannot be seen from every node: choose a folder that all nodes share")
    try:
        shard = write_shard(Path(folder) / task.name, task.split, samples(), layout=layout, encoding=source.encoding)
        result = ShardResult(shard=shard, rejected=tuple(rejected), items_by_samples=dict(items_by_samples))
        with whole_file(notes / f"{task.name}.json") as unfinished:
            unfinished.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error.strerror}): make room or choose another") from error
    return result


def prepare(source: Source, options: ShardOptions) -> Prepared:
    """Write every shard that is not there yet, then the manifest.

    Raises:
        InputError: the source is unusable, gave no image, or the folder holds another data set.
    """
    tasks = plan_shards(source, options)
    folder = Path(options.out).expanduser().absolute()
    preparation = fingerprint(source, options, tasks)
    if (folder / MANIFEST_NAME).exists():
        return _finished_before(folder, preparation)
    _claim(folder, preparation)

    results = {task.name: result for task in tasks if (result := _read_note(folder, task)) is not None}
    missing = [task for task in tasks if task.name not in results]
    make = partial(make_shard, layout=options.layout, folder=str(folder))
    with progress_bar(sum(len(task.items) for task in tasks), source.dataset) as bar:
        bar.update(sum(len(task.items) for task in tasks if task.name in results))
        for task, result in run_tasks(make, source, missing, cpus=options.cpus):
            results[task.name] = result
            bar.update(len(task.items))
    return _finish(source, options, folder, [results[task.name] for task in tasks], preparation)


def _finished_before(folder: Path, preparation: str) -> Prepared:
    manifest = load_manifest(str(folder))
    if manifest.source.get("preparation") != preparation:
        raise InputError(
            f"{folder} already holds shards made in another way: choose another `out`, or remove that folder"
        )
    _log.info(
        "%s is prepared already, nothing was done; for a source that has changed since, choose another `out`", folder
    )
    listed = folder / REJECTED_NAME
    rejected = _read_rejected(json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else [])
    return Prepared(manifest=manifest, rejected=rejected, items_by_samples=manifest.source["items_by_samples"])


def _claim(folder: Path, preparation: str) -> None:
    """Mark the folder as being filled by this preparation."""
    claim = folder / PROGRESS_FOLDER / "preparation"
    if claim.exists():
        if claim.read_text(encoding="utf-8") != preparation:
            raise InputError(
                f"{folder} holds an unfinished preparation of other images or settings: choose another `out`, "
                "or remove that folder"
            )
        return
    try:
        claim.parent.mkdir(parents=True, exist_ok=True)
        claim.write_text(preparation, encoding="utf-8")
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error.strerror}): choose another folder") from error


def _read_note(folder: Path, task: ShardTask) -> ShardResult | None:
    """The result of a shard that an earlier run finished."""
    note = folder / PROGRESS_FOLDER / f"{task.name}.json"
    if not note.exists():
        return None
    content = json.loads(note.read_text(encoding="utf-8"))
    shard = Shard(**content["shard"]) if content["shard"] else None
    if shard and (not (folder / shard.name).exists() or (folder / shard.name).stat().st_size != shard.bytes):
        return None
    rejected = _read_rejected(content["rejected"])
    return ShardResult(shard=shard, rejected=rejected, items_by_samples=content["items_by_samples"])


def _read_rejected(entries: list[dict[str, str]]) -> tuple[Rejected, ...]:
    return tuple(Rejected(**entry) for entry in entries)


def _finish(
    source: Source, options: ShardOptions, folder: Path, results: Sequence[ShardResult], preparation: str
) -> Prepared:
    rejected = tuple(item for result in results for item in result.rejected)
    items_by_samples = dict(sum((Counter(result.items_by_samples) for result in results), Counter()))
    shards = tuple(result.shard for result in results if result.shard is not None)
    if not shards:
        shutil.rmtree(folder / PROGRESS_FOLDER)
        raise InputError(
            f"no usable image among {len(rejected)} items; the first: {rejected[0].key}: {rejected[0].reason}"
        )
    preprocessing, origin = source.describe()
    (folder / REJECTED_NAME).write_text(json.dumps([dataclasses.asdict(item) for item in rejected]), encoding="utf-8")
    manifest = Manifest(
        dataset=source.dataset,
        image_size=source.image_size,
        image_channels=source.image_channels,
        layout=options.layout,
        preprocessing=preprocessing | {"stored": "uint8" if options.layout == "blocks" else source.encoding},
        source=origin | {"preparation": preparation, "items_by_samples": items_by_samples},
        shards=shards,
        classes=len(source.class_names()),
        class_names=source.class_names(),
        location=str(folder),
    )
    write_manifest(manifest, folder)
    shutil.rmtree(folder / PROGRESS_FOLDER)
    return Prepared(manifest=manifest, rejected=rejected, items_by_samples=items_by_samples)
