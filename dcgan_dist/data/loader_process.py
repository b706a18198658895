"""A loader process: reads its task from standard input, fills its rows of the shared batches, says when each is done."""

import dataclasses
import itertools
import json
import sys
from typing import Any, BinaryIO

import numpy as np

from dcgan_dist.data.loader import RowTask, SharedRows
from dcgan_dist.data.rows import RowReader
from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.schema import parse_manifest
from dcgan_dist.errors import InputError


def decode_task(header: dict[str, Any], data: BinaryIO) -> RowTask:
    """Read what encode_task wrote."""
    kept = header["kept"]
    keep = None if kept is None else np.frombuffer(data.read(8 * kept), np.int64)
    rows = np.frombuffer(data.read(8 * header["rows"]), np.int64)
    manifest = parse_manifest(json.dumps(header["manifest"]).encode(), header["location"])
    plan = ShardPlan(shard_samples=manifest.shard_samples, keep=keep, **header["plan"])
    return RowTask(manifest=manifest, plan=plan, rows=rows, start_step=header["start_step"], **header["reader"])


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Fill one slot of the ring after the other, never more than are free, until the input ends."""

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content).encode() + b"\n")
        answers.flush()

    header = json.loads(requests.readline())
    task = decode_task(header, requests)
    slots = header["shared"]["shape"][0]
    shared = SharedRows(*header["shared"]["shape"], descriptor=header["shared"]["descriptor"])
    mine = slice(header["first_row"], header["first_row"] + len(task.rows))
    try:
        with task.open(mapped=True) as reader:
            row_reader = RowReader(reader, task.plan, task.rows)
            for number, step in enumerate(itertools.count(task.start_step)):
                if number >= slots and not requests.readline():
                    return
                images, labels = shared.slot(number % slots)
                bad = row_reader.read(step, images[mine], labels[mine])
                answer({"bad": [dataclasses.asdict(sample) for sample in bad]})
    except InputError as error:
        answer({"error": str(error)})


if __name__ == "__main__":
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # the parent is gone, or Ctrl-C reached the whole process group: the parent reports it
