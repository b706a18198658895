"""What a run keeps in the storage, beside the checkpoints that Ray puts there: who it is, its sign of life, its result."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow.fs

from dcgan_dist.errors import InputError
from dcgan_dist.storage.filesystems import OBJECT_STORES, open_storage

ALIVE_SECONDS = 30.0


def unique_suffix() -> str:
    """Six hex digits that no earlier attempt has used, so that two writers never share a name."""
    return os.urandom(3).hex()


class RunFolder:
    """STORAGE/RUN_NAME on a local disk or behind a URI; see `open_storage`."""

    def __init__(self, storage: str, name: str) -> None:
        self.storage, self.name = storage, name
        self.fs, root = open_storage(storage)
        self.path = f"{root}/{name}"

    @property
    def local(self) -> bool:
        """Whether it lies on a file system of this machine, where files have paths."""
        return isinstance(self.fs, pyarrow.fs.LocalFileSystem)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Content of a file; None if it is missing or torn.

        Raises:
            OSError: the storage does not answer; that is not the same as having no such file.
        """
        try:
            with self.fs.open_input_stream(f"{self.path}/{name}") as file:
                return json.loads(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a file so that a reader sees the old content or the new."""
        self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name and move it into place; folders are made."""
        target = f"{self.path}/{name}"
        self.fs.create_dir(target.rpartition("/")[0], recursive=True)
        draft = target if self.fs.type_name in OBJECT_STORES else f"{target}.tmp"
        try:
            with self.fs.open_output_stream(draft) as file:
                file.write(content)
            if draft != target:
                self.fs.move(draft, target)
        except OSError:
            if draft != target:
                self.remove(draft)  # on a full disk a part of it
            raise

    def files(self, name: str) -> list[str]:
        """Paths of the files and folders inside a folder of the run, last name first; none if it does not exist."""
        selector = pyarrow.fs.FileSelector(f"{self.path}/{name}".rstrip("/"), allow_not_found=True)
        return sorted((info.path for info in self.fs.get_file_info(selector)), reverse=True)

    def fetch(self, path: str, folder: Path) -> Path:
        """A local copy of a folder of the storage, or the folder itself where it is local already."""
        if self.local:
            return Path(path)
        target = folder / Path(path).name
        shutil.rmtree(target, ignore_errors=True)  # fetched before, in whatever state
        target.mkdir(parents=True)
        local = pyarrow.fs.LocalFileSystem()
        pyarrow.fs.copy_files(path, str(target), source_filesystem=self.fs, destination_filesystem=local)
        return target

    def put(self, folder: Path, name: str) -> str:
        """Copy a local folder into the run folder, replacing one of that name; returns its path in the storage."""
        target = f"{self.path}/{name}"
        if self.fs.get_file_info(target).type == pyarrow.fs.FileType.Directory:
            self.fs.delete_dir(target)
        self.fs.create_dir(target, recursive=True)
        local = pyarrow.fs.LocalFileSystem()
        pyarrow.fs.copy_files(str(folder), target, source_filesystem=local, destination_filesystem=self.fs)
        return target

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that path."""
        return self.fs.get_file_info(path).type != pyarrow.fs.FileType.NotFound

    def remove(self, path: str) -> None:
        """Remove a file or folder; a storage that refuses keeps it, which costs room and nothing else."""
        try:
            kind = self.fs.get_file_info(path).type
            if kind == pyarrow.fs.FileType.Directory:
                self.fs.delete_dir(path)
            elif kind == pyarrow.fs.FileType.File:
                self.fs.delete_file(path)
        except OSError:
            pass

    def seconds_since_heartbeat(self) -> float | None:
        """Age of the last sign of life; None if there was none, or if the process that gave it is known to be dead."""
        beat = self.read_json("heartbeat.json")
        if beat is None or (beat["machine"] == this_machine() and not _runs(beat["pid"], beat["process_started"])):
            return None
        return time.time() - float(beat["time"])

    def refuse_if_alive(self) -> None:
        """Raise InputError if another job gives signs of life under this name."""
        age = self.seconds_since_heartbeat()
        if age is not None and age < ALIVE_SECONDS:
            raise InputError(
                f"run {self.name} in {self.storage} is alive (sign of life {age:.0f} s ago): wait for it, stop it, or give "
                f"another `run_name`; after a crash on another machine it counts as dead {ALIVE_SECONDS:.0f} s later"
            )

    @contextmanager
    def heartbeat(self, seconds: float) -> Iterator[None]:
        """Give a sign of life inside the `with`, so that a second job under the same name is refused.

        Raises:
            InputError: another job came first, or the storage cannot be written.
        """
        self.refuse_if_alive()
        stopped = threading.Event()
        me = {"machine": this_machine(), "pid": os.getpid(), "process_started": psutil.Process().create_time()}
        try:
            self.write_json("heartbeat.json", me | {"time": time.time()})
        except OSError as error:
            raise InputError(f"`storage` {self.storage} cannot be written ({error}): name another place") from error

        def beat() -> None:
            while not stopped.wait(seconds):
                try:
                    self.write_json("heartbeat.json", me | {"time": time.time()})
                except OSError:
                    pass  # a storage that is away for a moment shows in the checkpoints, which do raise

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            self.remove(f"{self.path}/heartbeat.json")


def this_machine() -> str:
    """This machine since its start and, in a container, this container: where a process id means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
