"""From a source to a folder of shards: which item goes into which shard, and going on where a killed job stopped."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from dcgan_dist.cli.progress import progress_bar
from dcgan_dist.cli.result_file import only_job
from dcgan_dist.cluster.tasks import run_tasks
from dcgan_dist.data.shards.index import index_name
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME, Layout, Manifest, Shard
from dcgan_dist.data.shards.writer import Sample, write_shard
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.plan import (
    REJECTED_NAME,
    REMARKS_NAME,
    Prepared,
    ShardResult,
    ShardTask,
    fingerprint,
    plan_shards,
)
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Rejected, Source
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.untrusted import parse_json, refusing

PROGRESS_FOLDER = ".prepare"
STATE_NAME = "source_state.json"
FEW = 8192
"""Items that are read in less time than a Ray of its own takes to start."""

_log = logging.getLogger(__name__)


def make_shard(source: Source, task: ShardTask, layout: Layout, folder: str) -> ShardResult:
    """Write one output shard and note beside it that it is done; for a store it is made on this machine's disk first.

    Raises:
        InputError: the folder cannot be seen from this machine, or cannot be written.
    """
    stored = StoredFolder(folder)
    rejected: list[Rejected] = []
    items_by_samples: Counter[str] = Counter()
    remarks: Counter[str] = Counter()

    def samples() -> Iterator[Sample]:
        for item in task.items:
            n = 0
            for result in source.read(item):
                if isinstance(result, Rejected):
                    rejected.append(result)
                else:
                    n += 1
                    remarks.update(result.remarks)
                    yield result
            items_by_samples[str(n)] += 1

    if stored.local and not (Path(folder) / PROGRESS_FOLDER).is_dir():
        raise InputError(f"`out` {folder} cannot be seen from every node: choose a folder that all nodes share")
    try:
        with nullcontext(Path(folder)) if stored.local else scratch_folder() as made:
            shard = write_shard(made / task.name, task.split, samples(), layout=layout, encoding=source.encoding)
            for name in (index_name(task.name), task.name) if shard and not stored.local else ():
                stored.retried(partial(stored.put_file, made / name, name))
        result = ShardResult(
            shard=shard, rejected=tuple(rejected), items_by_samples=dict(items_by_samples), remarks=dict(remarks)
        )
        stored.retried(lambda: stored.write_json(_note_name(task), dataclasses.asdict(result)))
    except OSError as error:
        raise _unwritable(folder, error) from error
    return result


def _note_name(task: ShardTask) -> str:
    """The file that says what became of an output shard."""
    return f"{PROGRESS_FOLDER}/{task.name}.json"


def _unwritable(folder: str, error: OSError) -> InputError:
    return InputError(f"`out` {folder} cannot be written ({error.strerror or error}): make room or choose another")


def prepare(source: Source, options: ShardOptions) -> Prepared:
    """Write every shard that is not there yet, then the manifest.

    Raises:
        InputError: the source is unusable, gave no image, or the folder holds another data set.
    """
    folder = options.out if is_uri(options.out) else str(Path(options.out).expanduser().absolute())
    tasks = plan_shards(source, options)
    _check_names(source, options)
    with nullcontext() if is_uri(folder) else only_job(Path(folder), tidy=True):
        return _prepare(source, options, folder, tasks)


def _check_names(source: Source, options: ShardOptions) -> None:
    """Raise InputError, before the work, for names that no manifest can hold."""
    shard = Shard(name="a.tar", split="train", samples=1, bytes=1, sha256="", index_sha256="")
    content = dataclasses.asdict(_manifest(source, options, (shard,), {}))
    with refusing(f"{source.dataset}: the name of a class, folder or file cannot be stored", "rename it"):
        parse_json(json.dumps(content), Manifest)


def _prepare(source: Source, options: ShardOptions, folder: str, tasks: list[ShardTask]) -> Prepared:
    stored = StoredFolder(folder)
    for left in Path(folder).glob(".*.tar.*.part") if stored.local else ():
        left.unlink()
    preparation = fingerprint(source, options, tasks)
    try:
        if stored.retried(lambda: stored.exists(f"{stored.path}/{MANIFEST_NAME}")):
            return _finished_before(folder, stored, preparation, source)
        stored.retried(lambda: _claim(folder, stored, preparation, source.state()))
        notes = stored.retried(lambda: [_read_note(stored, task) for task in tasks])
    except OSError as error:
        raise _unwritable(folder, error) from error

    results = {task.name: note for task, note in zip(tasks, notes, strict=True) if note is not None}
    missing = [task for task in tasks if task.name not in results]
    make = partial(make_shard, layout=options.layout, folder=folder)
    items, waiting = (sum(len(task.items) for task in some) for some in (tasks, missing))
    made = run_tasks(make, source, missing, cpus=options.cpus or int(waiting <= FEW))
    with progress_bar(items, source.dataset) as bar:
        bar.update(items - waiting)
        for task, result in made:
            results[task.name] = result
            bar.update(len(task.items))
    return _finish(source, options, folder, [results[task.name] for task in tasks], preparation)


def _finished_before(folder: str, stored: StoredFolder, preparation: str, source: Source) -> Prepared:
    manifest = load_manifest(folder)
    if manifest.source.get("preparation") != preparation:
        raise InputError(
            f"{folder} already holds shards made in another way: choose another `out`, or remove that folder"
        )
    _log.info("%s is prepared already, nothing was done", folder)
    if stored.retried(lambda: stored.read_json(STATE_NAME, str)) not in (None, source.state()):
        _log.warning(
            "files of the source have changed since: to read them again, choose another `out` or remove %s", folder
        )
    rejected = stored.retried(lambda: stored.read_json(REJECTED_NAME, tuple[Rejected, ...])) or ()
    return Prepared(
        manifest=manifest,
        rejected=rejected,
        items_by_samples=manifest.source.get("items_by_samples", {}),
        remarks=stored.retried(lambda: stored.read_json(REMARKS_NAME, dict[str, int])) or {},
    )


def _claim(folder: str, stored: StoredFolder, preparation: str, state: str) -> None:
    """Mark the folder as being filled by this preparation; what it made of a source that has changed since is made again."""
    before = stored.read_json(STATE_NAME, str)
    claim = f"{PROGRESS_FOLDER}/preparation"
    try:
        claimed_by = stored.read_bytes(claim).decode()
    except FileNotFoundError:
        stored.write_json(STATE_NAME, state)
        stored.write_bytes(claim, preparation.encode())
        return
    if claimed_by != preparation:
        raise InputError(
            f"{folder} holds an unfinished preparation of other images or settings: choose another `out`, "
            "or remove that folder"
        )
    if before not in (None, state):
        _log.warning("files of the source have changed since this preparation began: all are read again")
        for note in stored.files(PROGRESS_FOLDER):
            if note.endswith(".json"):
                stored.remove(note)
        stored.write_json(STATE_NAME, state)


def _read_note(stored: StoredFolder, task: ShardTask) -> ShardResult | None:
    """The result of a shard that an earlier run finished."""
    note: ShardResult | None = stored.read_json(_note_name(task), ShardResult)
    if note and note.shard and stored.size(note.shard.name) != note.shard.bytes:
        return None
    return note


def _finish(
    source: Source, options: ShardOptions, folder: str, results: Sequence[ShardResult], preparation: str
) -> Prepared:
    stored = StoredFolder(folder)
    rejected = tuple(item for result in results for item in result.rejected)
    items_by_samples = _total(result.items_by_samples for result in results)
    remarks = _total(result.remarks for result in results)
    shards = tuple(result.shard for result in results if result.shard is not None)
    if not shards:
        for name in (PROGRESS_FOLDER, STATE_NAME):
            stored.remove(f"{stored.path}/{name}")
        raise InputError(
            f"no usable image among {len(rejected)} items; the first: {rejected[0].key}: {rejected[0].reason}"
        )
    origin = {"preparation": preparation, "items_by_samples": items_by_samples}
    manifest = dataclasses.replace(_manifest(source, options, shards, origin), location=folder)
    try:
        for name, content in (
            (REJECTED_NAME, [dataclasses.asdict(item) for item in rejected]),
            *([(REMARKS_NAME, remarks)] if remarks else []),
            (MANIFEST_NAME, manifest.to_json()),
        ):
            stored.retried(partial(stored.write_json, name, content))
    except OSError as error:
        raise _unwritable(folder, error) from error
    stored.remove(f"{stored.path}/{PROGRESS_FOLDER}")
    return Prepared(manifest=manifest, rejected=rejected, items_by_samples=items_by_samples, remarks=remarks)


def _manifest(source: Source, options: ShardOptions, shards: tuple[Shard, ...], origin: dict[str, Any]) -> Manifest:
    preprocessing, described = source.describe()
    return Manifest(
        dataset=source.dataset,
        image_size=source.image_size,
        image_channels=source.image_channels,
        layout=options.layout,
        preprocessing=preprocessing | {"stored": "uint8" if options.layout == "blocks" else source.encoding},
        source=described | origin,
        shards=shards,
        classes=source.classes(),
        class_names=source.class_names(),
    )


def _total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter()))
