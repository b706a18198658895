"""What a run keeps in the storage, beside the checkpoints that Ray puts there: who it is, its sign of life, its result."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dcgan_dist.errors import InputError
from dcgan_dist.storage.stored_folder import StoredFolder

ALIVE_SECONDS = 30.0


def unique_suffix() -> str:
    """Six hex digits that no earlier attempt has used, so that two writers never share a name."""
    return os.urandom(3).hex()


class RunFolder(StoredFolder):
    """STORAGE/RUN_NAME on a local disk or behind a URI."""

    def __init__(self, storage: str, name: str) -> None:
        self.storage, self.name = storage, name
        try:
            super().__init__(storage)
        except InputError as error:
            raise InputError(f"`storage` {error}") from error
        self.path = f"{self.path}/{name}"

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
