"""The storage fails for a while, in each way a storage can, while a whole run trains: the result is that of an untouched run."""

import dataclasses
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs import fit
from dcgan_dist.runs.driver import run_training
from tests.chaos.conftest import STEPS, check_exact, nothing_left
from tests.chaos.cost import PATIENCE_SECONDS, Events, Heard, Injected, Table
from tests.helpers import faulty_storage
from tests.helpers.logs import listening
from tests.helpers.processes import RANK, actors

pytestmark = pytest.mark.chaos

SECONDS = 4.0


def train_rank_on_faulty_storage(arguments: dict[str, Any]) -> None:
    """`train_rank` in a process that knows faulty://."""
    from dcgan_dist.runs import rank
    from tests.helpers import faulty_storage

    faulty_storage.register()
    rank.train_rank(arguments)


class StorageFaults(threading.Thread):
    """Makes the storage fail again and again, each time after it has taken a checkpoint."""

    def __init__(self, config: TrainConfig, storage: Path, session: str) -> None:
        super().__init__(daemon=True)
        # Looked at past the faults.
        self.events = Events(dataclasses.replace(config, storage=str(storage)))
        self.control, self.noted = storage.with_name("fault"), storage.with_name("refused.txt")
        self.session, self.heard = session, Heard(self.events.steps_per_epoch)
        self.rows: list[Injected] = []

    def run(self) -> None:
        try:
            self._fail_in_every_way()
            self._fail_while_ranks_start_again()
        finally:
            self.control.unlink(missing_ok=True)

    def _fail_in_every_way(self) -> None:
        since = 0.0
        for fault in faulty_storage.FAULTS:
            since = self._next_checkpoint(since)
            self._set(fault)
            if fault == "full":  # until even patience is at its end and a checkpoint is given up
                self._wait_until(self._gave_up)
            else:
                self._wait_until(lambda fault=fault: self._met(rf"{fault} (write|makedirs) .*/run/checkpoint_"))
                time.sleep(SECONDS)
            self.control.unlink()
            self.rows.append(Injected(fault=f"storage: {fault}, for a while", steps_allowed=self.events.interval))
        self._next_checkpoint(since)

    def _fail_while_ranks_start_again(self) -> None:
        self.noted.unlink()
        self._set("503")
        before = time.time()
        for rank in actors(self.session, RANK):
            rank.kill()
        self._wait_until(lambda: self._met("503 ls .*/run$"))  # by ranks that look for the newest checkpoint
        time.sleep(SECONDS)
        self.control.unlink()
        self.rows.append(
            self.events.cost("storage: 503 while ranks start again", before, lambda: self.heard.reached[-1])
        )

    def _next_checkpoint(self, since: float) -> float:
        kept = self.events.wait_for("checkpoint kept", since)["time"] + 0.001
        return self.events.wait_for("checkpoint begun", kept)["time"]

    def _set(self, fault: str) -> None:
        draft = self.control.with_name("fault.tmp")
        draft.write_text(fault)
        draft.rename(self.control)

    def _wait_until(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            assert time.monotonic() < until, "no checkpoint met the fault"
            time.sleep(0.05)

    def _gave_up(self) -> bool:
        return any("the checkpoint at" in line and "could not be kept" in line for line in self.heard.said)

    def _met(self, request: str) -> bool:
        """Whether a request met a fault."""
        return self.noted.exists() and bool(re.search(f"(?m)^{request}", self.noted.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_storage_that_refuses_is_slow_full_or_read_only_for_a_while_changes_nothing(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    session: str,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, storage = straight(STEPS), tmp_path / "behind" / "runs"
    faulty_storage.register()
    monkeypatch.setattr(fit, "train_rank", train_rank_on_faulty_storage)
    monkeypatch.setenv("HOME", str(tmp_path))  # events for the tracking server of a remote run wait below it
    storage.parent.mkdir()
    # More than what a refused checkpoint is waited for: the other rank must not count as hung meanwhile.
    config = dataclasses.replace(soak_config(hang_seconds=60.0), storage=f"faulty://{storage}")
    faults = StorageFaults(config, storage, session)
    faults.start()

    with listening(faults.heard):
        assert run_training(config) == 0

    faults.join(5)
    assert len(faults.rows) == len(faulty_storage.FAULTS) + 1
    assert "No space left on device" in "\n".join(faults.heard.said)
    check_exact(dataclasses.replace(config, storage=str(storage)), expected, table, faults.rows)
    nothing_left(session, storage / "run")
