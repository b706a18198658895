"""What a run keeps in the storage, beside the checkpoints that Ray puts there: who it is, its sign of life, its result."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.fs

from dcgan_dist.config import InputError

ALIVE_SECONDS = 30.0
# Images seen, so that names sort by age, then a random part.
CHECKPOINT_NAME = re.compile(r"checkpoint_\d{12}-[0-9a-f]{6}")


def new_checkpoint_name(images_seen: int) -> str:
    """A name that no earlier attempt has used, so that a checkpoint written twice never shares a folder."""
    return f"checkpoint_{images_seen:012}-{os.urandom(3).hex()}"


class RunFolder:
    """STORAGE/RUN_NAME on a local disk or behind a URI that pyarrow understands (s3://, gs://, file://).

    Raises:
        InputError: the storage cannot be opened.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.storage, self.name = storage, name
        try:
            if "://" in storage:
                self.fs, root = pyarrow.fs.FileSystem.from_uri(storage)
            else:
                self.fs, root = pyarrow.fs.LocalFileSystem(), storage
        except (OSError, ValueError) as error:
            raise InputError(f"--storage {storage} cannot be opened ({error}): name a folder or a URI") from error
        self.path = f"{root}/{name}"

    @property
    def local(self) -> bool:
        """Whether it lies on a file system of this machine, where files have paths."""
        return isinstance(self.fs, pyarrow.fs.LocalFileSystem)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Content of a file; None if it is missing or torn."""
        try:
            with self.fs.open_input_stream(f"{self.path}/{name}") as file:
                return json.loads(file.read())
        except (OSError, ValueError):
            return None

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write a file so that a reader sees the old content or the new."""
        self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name and move it into place; folders are made."""
        target = f"{self.path}/{name}"
        self.fs.create_dir(target.rpartition("/")[0], recursive=True)
        draft = f"{target}.tmp" if self.local else target  # object stores show whole objects only
        with self.fs.open_output_stream(draft) as file:
            file.write(content)
        if draft != target:
            self.fs.move(draft, target)

    def checkpoints(self) -> list[str]:
        """Paths of the checkpoint folders, newest first."""
        return [path for path in self.files("") if CHECKPOINT_NAME.fullmatch(Path(path).name)]

    def files(self, name: str) -> list[str]:
        """Paths of the files and folders inside a folder of the run, last name first; none if it does not exist."""
        selector = pyarrow.fs.FileSelector(f"{self.path}/{name}".rstrip("/"), allow_not_found=True)
        return sorted((info.path for info in self.fs.get_file_info(selector)), reverse=True)

    def fetch(self, path: str, folder: Path) -> Path:
        """A local copy of a folder of the storage, or the folder itself where it is local already."""
        if self.local:
            return Path(path)
        target = folder / Path(path).name
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

    def seconds_since_heartbeat(self) -> float | None:
        """Age of the last sign of life, None if there was none."""
        beat = self.read_json("heartbeat.json")
        return None if beat is None else time.time() - float(beat["time"])

    @contextmanager
    def heartbeat(self, seconds: float) -> Iterator[None]:
        """Give a sign of life inside the `with`, so that a second job under the same name is refused."""
        stopped = threading.Event()

        def beat() -> None:
            while True:
                try:
                    self.write_json("heartbeat.json", {"time": time.time()})
                except OSError:
                    pass  # a storage that is away for a moment shows in the checkpoints, which do raise
                if stopped.wait(seconds):
                    return

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            try:
                self.fs.delete_file(f"{self.path}/heartbeat.json")
            except OSError:
                pass
