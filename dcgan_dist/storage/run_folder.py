"""What a run keeps in the storage, beside the checkpoints that Ray puts there: who it is, its sign of life, its result."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from dcgan_dist.errors import InputError, require
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.untrusted import Count, is_file_name

T = TypeVar("T")

ALIVE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 12.0
"""Between two signs of life, which runs give at least every 10 s."""


@dataclass(frozen=True, slots=True)
class _Beat:
    """The content of heartbeat.json."""

    machine: str
    pid: Count
    process_started: float
    time: float


def unique_suffix() -> str:
    """Six hex digits that no earlier attempt has used, so that two writers never share a name."""
    return os.urandom(3).hex()


class RunFolder(StoredFolder):
    """STORAGE/RUN_NAME on a local disk or behind a URI."""

    def __init__(self, storage: str, name: str) -> None:
        require(
            all(map(is_file_name, name.split("/"))),
            f"run {name!r} would lie outside `storage`: give another `run_name`",
        )
        self.storage, self.name = storage, name
        try:
            super().__init__(storage)
        except InputError as error:
            raise InputError(f"`storage` {error}") from error
        self.path = f"{self.path}/{name}"

    def waiting(self, request: Callable[[], T]) -> T:
        """Result of a request to this folder, once the storage answers.

        Raises:
            InputError: it did not answer for long, or refuses.
        """
        try:
            return self.retried(request)
        except OSError as error:
            raise InputError(
                f"`storage` {self.storage} cannot be used ({error}): mend it or name another, then run the same command again"
            ) from error

    def seconds_since_heartbeat(self) -> float | None:
        """Age of the last sign of life, at least 0; None if there was none, or nobody works here any more.

        Of a process of this machine the process itself is asked. Another machine's clock may be ahead or behind, so where
        its sign seems old, or from the future, the next one is waited for.
        """
        beat = self._beat()
        if beat is None:
            return None
        if beat.machine == this_machine():
            return max(0.0, time.time() - beat.time) if _runs(beat.pid, beat.process_started) else None
        age = time.time() - beat.time
        if 0 <= age < ALIVE_SECONDS:
            return age
        deadline = time.monotonic() + LONGEST_PAUSE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.5)
            if (now := self._beat()) is None or now != beat:
                return None if now is None else 0.0
        return None

    def _beat(self) -> "_Beat | None":
        return self.read_json("heartbeat.json", _Beat)

    def refuse_if_alive(self) -> None:
        """Raise InputError if another job gives signs of life under this name."""
        age = self.seconds_since_heartbeat()
        if age is not None:
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
        self.waiting(self.refuse_if_alive)
        stopped = threading.Event()
        me = {"machine": this_machine(), "pid": os.getpid(), "process_started": _started(os.getpid())}
        self.waiting(lambda: self.write_json("heartbeat.json", me | {"time": time.time()}))

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
        same = started == _started(pid) or abs(process.create_time() - started) < 1  # as earlier versions wrote it
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, OverflowError):
        return False


def _started(pid: int) -> float:
    """When a process began: on Linux in ticks since the machine's start, which no correction of the clock changes."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return psutil.Process(pid).create_time()
