"""Reading ahead of the training loop: in a thread, or in processes that fill their rows of a shared batch.

A loader process gets its task over its standard input and answers over its standard output, so it needs neither fork
nor pickle, cannot outlive its parent (whose end closes the input), and cannot hang it (its own end closes the output).
"""

import dataclasses
import itertools
import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.reader import Crop, SampleReader
from dcgan_dist.data.rows import RowReader
from dcgan_dist.data.shard_plan import ShardPlan
from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RowTask:
    """Which rows of which batches are read, and as what."""

    manifest: Manifest
    plan: ShardPlan
    rows: NDArray[np.int64]
    """Rows of the global batch, (b,)."""
    start_step: int
    """Global step to begin with."""
    image_size: int
    image_channels: int
    crop: Crop
    cache_folder: str = ""
    """Where parts of remote shards are kept; empty: a private folder."""

    def open(self, *, mapped: bool = False) -> SampleReader:
        """The reader of the task's samples; `mapped` only where the process may be lost."""
        return SampleReader(
            self.manifest,
            image_size=self.image_size,
            image_channels=self.image_channels,
            crop=self.crop,
            mapped=mapped,
            cache_folder=self.cache_folder,
        )


class Rows(NamedTuple):
    """The rows of one step."""

    images: NDArray[np.uint8]
    """(b, c, s, s)."""
    labels: NDArray[np.int64]
    """(b,), -1 where there is none."""
    bad: list[BadSample]
    """Samples that others stand in for."""


def read_in_thread(task: RowTask, depth: int) -> Generator[Rows]:
    """Read the task's rows step after step in a thread, up to `depth` steps ahead; its exceptions come out here."""
    thread = ThreadPoolExecutor(1, "data reader")
    with task.open() as reader:
        row_reader = RowReader(reader, task.plan, task.rows)

        def read(step: int) -> Rows:
            images = np.empty((len(task.rows), *reader.image_shape), np.uint8)
            labels = np.empty(len(task.rows), np.int64)
            return Rows(images, labels, row_reader.read(step, images, labels))

        steps = itertools.count(task.start_step)
        ahead = deque(thread.submit(read, next(steps)) for _ in range(depth))
        try:
            while True:
                rows = ahead.popleft().result()
                ahead.append(thread.submit(read, next(steps)))
                yield rows
        finally:
            thread.shutdown(cancel_futures=True)


def read_in_processes(task: RowTask, processes: int, depth: int) -> Generator[Rows]:
    """Read the task's rows in several processes, each its own part of the rows, up to `depth` steps ahead.

    Raises:
        InputError: what a process found that the user can mend.
        RuntimeError: a process ended on its own.
    """
    row_groups = [rows for rows in np.array_split(task.rows, processes) if len(rows)]
    with closing(SharedRows(depth, len(task.rows), task.image_channels, task.image_size)) as shared:
        loaders: list[_Loader] = []
        try:
            first = 0
            for number, rows in enumerate(row_groups):
                loaders.append(_Loader(number, dataclasses.replace(task, rows=rows), shared, first))
                first += len(rows)
            for slot in itertools.cycle(range(depth)):
                bad = [sample for loader in loaders for sample in loader.wait()]
                images, labels = shared.slot(slot)
                yield Rows(images.copy(), labels.copy(), bad)
                for loader in loaders:
                    loader.free_a_slot()
        finally:
            for loader in loaders:
                loader.stop()


class SharedRows:
    """A ring of batches in memory that processes share; it has no name and vanishes with the last of them."""

    def __init__(self, slots: int, rows: int, channels: int, size: int, descriptor: int | None = None) -> None:
        """Make the ring, or with a descriptor attach to one."""
        self.shape = slots, rows, channels, size
        images_bytes, labels_bytes = slots * rows * channels * size * size, slots * rows * 8
        padded = -images_bytes // 8 * -8
        if descriptor is None:
            with tempfile.TemporaryFile(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, padded + labels_bytes)
                except OSError as error:
                    raise InputError(
                        f"/dev/shm has no room for {(padded + labels_bytes) / 1e6:.0f} MB of batches ({error.strerror}): "
                        "make it larger (of a container its shm-size), or set `data.loader_workers=0`"
                    ) from error
                self.descriptor = os.dup(file.fileno())
        else:
            self.descriptor = descriptor
        memory = mmap.mmap(self.descriptor, padded + labels_bytes)
        self._images = np.frombuffer(memory, np.uint8, images_bytes).reshape(slots, rows, channels, size, size)
        self._labels = np.frombuffer(memory, np.int64, slots * rows, offset=padded).reshape(slots, rows)

    def slot(self, slot: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images (rows, c, s, s) and labels (rows,) of one batch."""
        return self._images[slot], self._labels[slot]

    def close(self) -> None:
        """Let go of the descriptor; the memory goes with its last view."""
        os.close(self.descriptor)


class _Loader:
    """The parent's end of one loader process."""

    def __init__(self, number: int, task: RowTask, shared: SharedRows, first_row: int) -> None:
        self._number = number
        package_root = str(Path(__file__).parents[2])
        path = os.pathsep.join([package_root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dcgan_dist.data.loader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[shared.descriptor],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self._input = cast(BinaryIO, self._process.stdin)
        self._output = cast(BinaryIO, self._process.stdout)
        try:
            self._input.write(encode_task(task, shared, first_row))
            self._input.flush()
        except BrokenPipeError:
            pass  # it ended already; wait() says so

    def wait(self) -> list[BadSample]:
        """Wait until its rows of the next step are there; returns the bad samples it replaced."""
        line = self._output.readline()
        if not line.endswith(b"\n"):
            code = self._process.wait()
            raise RuntimeError(
                f"loader process {self._number} ended with code {code}: its own message is above; "
                "-9 means that it was killed, mostly for want of memory; -7 that a shard was cut while it was read"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return [BadSample(**bad) for bad in answer["bad"]]

    def free_a_slot(self) -> None:
        """Let it fill one more step."""
        try:
            self._input.write(b"\n")
            self._input.flush()
        except BrokenPipeError:
            pass  # it ended; the next wait() says so

    def stop(self) -> None:
        """End the process; it has nothing that must be saved."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def encode_task(task: RowTask, shared: SharedRows, first_row: int) -> bytes:
    """One line of JSON, then the keep list's positions and the rows as raw int64."""
    plan = task.plan
    keep = np.empty(0, np.int64) if plan.keep is None else plan.keep
    header = {
        "manifest": task.manifest.to_json(),
        "location": task.manifest.location,
        "plan": {name: getattr(plan, name) for name in ("batch_size", "streams", "window", "seed")},
        "kept": None if plan.keep is None else len(keep),
        "rows": len(task.rows),
        "first_row": first_row,
        "start_step": task.start_step,
        "reader": {name: getattr(task, name) for name in ("image_size", "image_channels", "crop", "cache_folder")},
        "shared": {"descriptor": shared.descriptor, "shape": shared.shape},
    }
    return json.dumps(header).encode() + b"\n" + keep.tobytes() + task.rows.tobytes()
