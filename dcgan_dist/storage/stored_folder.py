"""A folder wherever it lies, on a local disk or in a store: files in it are read, written, listed and copied."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dcgan_dist.storage.filesystems import is_object_store, open_filesystem, storage_errors, with_retries
from dcgan_dist.untrusted import parse_json

T = TypeVar("T")


class StoredFolder:
    """A local folder or what lies behind a URI; see `open_filesystem`.

    Every method that reads raises OSError where the store does not answer, which is not the same as having no such file,
    and CredentialsError where it refuses the credentials.
    """

    def __init__(self, location: str) -> None:
        self.fs, self.path = open_filesystem(location)

    @property
    def local(self) -> bool:
        """Whether it lies on a file system of this machine, where files have paths."""
        return bool(getattr(self.fs, "local_file", False))

    def retried(self, attempt: Callable[[], T]) -> T:
        """Result of an attempt on this folder; see `with_retries`. A local disk is asked once: it does not come back by itself."""
        return with_retries(attempt, patience_minutes=0 if self.local else None)

    @storage_errors()
    def read_bytes(self, name: str) -> bytes:
        """Content of a file."""
        content = self.fs.cat_file(f"{self.path}/{name}")
        assert isinstance(content, bytes)  # fsspec says text or bytes
        return content

    @storage_errors()
    def size(self, name: str) -> int | None:
        """Bytes of a file; None if it is missing."""
        try:
            return int(self.fs.info(f"{self.path}/{name}")["size"])
        except FileNotFoundError:
            return None

    def read_json(self, name: str, schema: Any = dict[str, Any]) -> Any:
        """Content of a file; None if it is missing, torn or of another type."""
        try:
            return parse_json(self.read_bytes(name), schema, more=True)
        except (FileNotFoundError, ValueError):
            return None

    def write_json(self, name: str, value: Any) -> None:
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

    def fetch(self, path: str, folder: Path) -> Path:
        """A local copy of a file or folder of the storage, or that itself where it is local already; see `retried`."""
        return Path(path) if self.local else self.retried(lambda: self._fetch(path, folder))

    def _fetch(self, path: str, folder: Path) -> Path:
        target = folder / Path(path).name
        shutil.rmtree(target, ignore_errors=True)  # fetched before, in whatever state
        if self.fs.isfile(path):
            self.fs.get_file(path, str(target))
            return target
        for root, _, names in self.fs.walk(path, on_error="raise"):
            copy = target / str(root).strip("/").removeprefix(path.strip("/")).strip("/")
            copy.mkdir(parents=True, exist_ok=True)
            for name in names:
                self.fs.get_file(f"{root}/{name}", str(copy / name))
        return target

    def put(self, folder: Path, name: str) -> str:
        """Copy a local folder into this one, replacing one of that name; returns its path in the storage; see `retried`."""
        target = f"{self.path}/{name}"

        def replace() -> None:
            if self.exists(target):
                self.fs.rm(target, recursive=True)
            self.fs.put(str(folder), target, recursive=True)

        self.retried(replace)
        return target

    @storage_errors()
    def put_file(self, file: Path, name: str) -> None:
        """Copy a local file into this folder; in an object store it appears whole or not at all."""
        self.fs.put_file(str(file), f"{self.path}/{name}".rstrip("/"))

    def replace_by(self, local: Path) -> None:
        """Copy a local file to this place, or the files of a folder into it, those that were written last coming last."""
        files = [path for path in local.rglob("*") if path.is_file()] if local.is_dir() else [local]
        for file in sorted(files, key=lambda path: path.stat().st_mtime_ns):
            self.put_file(file, str(file.relative_to(local)) if file != local else "")

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
