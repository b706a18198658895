"""Finding ranks that hang: when training takes no step for too long, stacks are saved and the ranks are ended.

Every rank watches itself. A rank that was stopped (SIGSTOP, a frozen container) cannot; the others on its machine wake
it just long enough to leave its stack behind. Ray then starts all ranks anew from the last checkpoint.
"""

import faulthandler
import hashlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch

from dcgan_dist.runs.driver_link import DriverLink
from dcgan_dist.runs.events import RankWarning
from dcgan_dist.storage.run_folder import RunFolder, this_machine
from dcgan_dist.training.distributed import gather_ranks

DUMP_SECONDS = 1.0
SAVE_SECONDS = 10.0
"""Time to save stacks; the storage may be what hangs."""


def watch_rank(seconds: float, folder: RunFolder, link: DriverLink, device: torch.device) -> "Watchdog":
    """Watch this rank; when no step was taken for so many seconds, stacks go to the run folder. Called on all ranks."""

    def save_stacks(silent_seconds: float, stacks: dict[str, str]) -> None:
        """This process ends right after it."""
        name = f"stacks/{time.strftime('%Y%m%d-%H%M%S')}-rank{link.rank}.txt"
        message = f"rank {link.rank} took no step for {silent_seconds:.0f} s: ranks are started again, stacks in {name}"
        link.send_from_any_rank(RankWarning(message=message))
        text = "".join(f"rank {number}\n{stack}\n" for number, stack in stacks.items())
        folder.write_bytes(name, text.encode())

    watchdog = Watchdog(seconds, save_stacks)
    machine = int(hashlib.sha256(this_machine().encode()).hexdigest()[:12], 16)
    mine = torch.tensor([machine, *watchdog.me], dtype=torch.float64, device=device)
    watchdog.peers = [
        (int(pid), int(descriptor)) if there == machine else (0, 0)
        for there, pid, descriptor in gather_ranks(mine).tolist()
    ]
    return watchdog


class Watchdog:
    """Ends this process when no step was taken for too long."""

    def __init__(self, seconds: float, on_hang: Callable[[float, dict[str, str]], None]) -> None:
        """Begin to watch at the first `beat`.

        Args:
            seconds: without a beat after which the process counts as hung.
            on_hang: gets the seconds since the last beat, and the text of each stack by rank ("0"); called in a thread, and given
                little time.
        """
        self.seconds, self.on_hang = seconds, on_hang
        self.peers: Sequence[tuple[int, int]] = ()
        """Process id and stack file's descriptor of every rank on this machine, by rank; (0, 0) for ranks elsewhere."""
        self._last: float | None = None
        self._closed = threading.Event()
        # No name, so nothing is left behind; others of this machine read it through /proc.
        self._stacks = tempfile.TemporaryFile()  # noqa: SIM115
        faulthandler.register(signal.SIGUSR1, file=self._stacks, all_threads=True)
        threading.Thread(target=self._watch, name="hang watch", daemon=True).start()

    @property
    def me(self) -> tuple[int, int]:
        """What others need to know to read this process's stacks: process id and descriptor."""
        return os.getpid(), self._stacks.fileno()

    def beat(self) -> None:
        """A step begins."""
        self._last = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not watch inside the `with`, where waiting is right."""
        self._last = None
        try:
            yield
        finally:
            self.beat()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        faulthandler.unregister(signal.SIGUSR1)

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self.seconds / 10)):
            last = self._last
            if last is not None and (silent := time.monotonic() - last) > self.seconds:
                teller = threading.Thread(target=lambda: self.on_hang(silent, self._collect()), daemon=True)
                teller.start()
                teller.join(SAVE_SECONDS)
                os.kill(os.getpid(), signal.SIGKILL)

    def _collect(self) -> dict[str, str]:
        stopped = [pid for pid, _ in self.peers if pid and _is_stopped(pid)]
        for pid, _ in self.peers:
            if pid:
                _send(pid, signal.SIGUSR1)
        for pid in stopped:
            _send(pid, signal.SIGCONT)  # it meets the first signal before anything else, and says where it stood
        time.sleep(DUMP_SECONDS)
        stacks = {str(rank): _read(pid, fd) for rank, (pid, fd) in enumerate(self.peers) if pid}
        for rank, (pid, _) in enumerate(self.peers):
            if pid in stopped:
                stacks[str(rank)] = "the process was stopped\n" + stacks[str(rank)]
                _send(pid, signal.SIGKILL)
        return stacks


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _read(pid: int, descriptor: int) -> str:
    try:
        with open(f"/proc/{pid}/fd/{descriptor}") as file:
            return file.read()
    except OSError as error:
        return f"no stack could be read ({error})"
