"""Room for temporary files of processes that may be killed at any moment: the next one on the machine tidies up."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dcgan_dist.files import is_own
from dcgan_dist.storage.run_folder import this_machine


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files inside the `with`; what killed processes of this machine left is removed first."""
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=f"{_prefix()}{os.getpid()}-") as folder:
        yield Path(folder)


def new_cache() -> Path:
    """A folder for parts of remote files, which its process removes; what killed processes left is removed first."""
    _remove_abandoned()
    return Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-cache-"))


def caches_in_use() -> int:
    """Number of caches of living processes of this machine."""
    return len(set(Path(tempfile.gettempdir()).glob(f"{_prefix()}*-cache-*")) - set(abandoned_scratch()))


def _remove_abandoned() -> None:
    for folder in abandoned_scratch():
        shutil.rmtree(folder, ignore_errors=True)


def abandoned_scratch() -> list[Path]:
    """This user's scratch folders of processes of this machine that are no more."""
    folders = [folder for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*") if is_own(folder)]
    made = [(folder, re.fullmatch(r"(\d{1,9})-.*", folder.name.removeprefix(_prefix()))) for folder in folders]
    return [folder for folder, process in made if process and not psutil.pid_exists(int(process[1]))]


def _prefix() -> str:
    """Differs between containers that share a folder, as process ids mean something in one of them only."""
    return f"dcgan_dist-{hashlib.sha256(this_machine().encode()).hexdigest()[:8]}-"
