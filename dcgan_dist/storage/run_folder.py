"""What a run keeps in the storage, beside the checkpoints that Ray puts there: who it is, its sign of life, its result."""

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

from dcgan_dist.errors import InputError
from dcgan_dist.storage.filesystems import is_object_store, open_filesystem, storage_errors

ALIVE_SECONDS = 30.0


def unique_suffix() -> str:
    """Six hex digits that no earlier attempt has used, so that two writers never share a name."""
    return os.urandom(3).hex()


class RunFolder:
    """STORAGE/RUN_NAME on a local disk or behind a URI; see `open_filesystem`.

    Every method that reads raises OSError where the store does not answer, which is not the same as having no such file,
    and CredentialsError where it refuses the credentials.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.storage, self.name = storage, name
        try:
            self.fs, root = open_filesystem(storage)
        except InputError as error:
            raise InputError(f"`storage` {error}") from error
        self.path = f"{root}/{name}"

    @property
    def local(self) -> bool:
        """Whether it lies on a file system of this machine, where files have paths."""
        return bool(getattr(self.fs, "local_file", False))

    @storage_errors()
    def read_bytes(self, name: str) -> bytes:
        """Content of a file."""
        content = self.fs.cat_file(f"{self.path}/{name}")
        assert isinstance(content, bytes)  # fsspec says text or bytes
        return content

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Content of a file; None if it is missing or torn."""
        try:
            return json.loads(self.read_bytes(name))
        except (FileNotFoundError, ValueError):
            return None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a file so that a reader sees the old content or the new."""
        self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    @storage_errors()
    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file so that a reader sees the old content or the new; folders are made."""
        target = f"{self.path}/{name}"
        if is_object_store(self.fs):
            self.fs.pipe_file(target, content)
            return
        self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        draft = f"{target}.tmp"
        try:
            with self.fs.open(draft, "wb") as file:
                file.write(content)  # pyright: ignore[reportArgumentType]  # fsspec says text or bytes
            self.fs.mv(draft, target)
        except OSError:
            self.remove(draft)  # on a full disk a part of it
            raise

    @storage_errors()
    def files(self, name: str) -> list[str]:
        """Paths of the files and folders inside a folder of the run, last name first; none if it does not exist."""
        folder = f"{self.path}/{name}".rstrip("/")
        try:
            paths = [path.rstrip("/") for path in self.fs.ls(folder, detail=False)]
        except FileNotFoundError:
            return []
        return sorted((path for path in paths if path.strip("/") != folder.strip("/")), reverse=True)

    @storage_errors()
    def fetch(self, path: str, folder: Path) -> Path:
        """A local copy of a folder of the storage, or the folder itself where it is local already."""
        if self.local:
            return Path(path)
        target = folder / Path(path).name
        shutil.rmtree(target, ignore_errors=True)  # fetched before, in whatever state
        for root, _, names in self.fs.walk(path, on_error="raise"):
            copy = target / str(root).strip("/").removeprefix(path.strip("/")).strip("/")
            copy.mkdir(parents=True, exist_ok=True)
            for name in names:
                self.fs.get_file(f"{root}/{name}", str(copy / name))
        return target

    @storage_errors()
    def put(self, folder: Path, name: str) -> str:
        """Copy a local folder into the run folder, replacing one of that name; returns its path in the storage."""
        target = f"{self.path}/{name}"
        if self.exists(target):
            self.fs.rm(target, recursive=True)
        self.fs.put(str(folder), target, recursive=True)
        return target

    @storage_errors()
    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that path."""
        try:
            self.fs.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def remove(self, path: str) -> None:
        """Remove a file or folder; a storage that refuses keeps it, which costs room and nothing else."""
        try:
            with storage_errors():
                self.fs.rm(path, recursive=True)
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
            self.end_heartbeat()

    def end_heartbeat(self) -> None:
        """Say that nobody works here, so that another start need not wait."""
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
