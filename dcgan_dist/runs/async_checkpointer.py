"""Writing checkpoints while training goes on."""

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcgan_dist.config import TrainConfig
from dcgan_dist.models.generator import Generator
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.events import CheckpointWritten, RankEvent
from dcgan_dist.runs.sample_evaluator import CancelledEvaluation, SampleEvaluator
from dcgan_dist.training.players import Players, build_players
from dcgan_dist.training.whole_checkpoint import Progress, State, load_checkpoint, to_memory

SCORE = "quality/frechet_random"
LOOK_EVERY_SECONDS = 0.5

GRIDS = "grids"

Log = list[dict[str, Any]]


def grid_name(images_seen: int) -> str:
    """Where a grid of samples lies in the run folder, and among the files of the tracked run."""
    return f"{GRIDS}/{images_seen:012}.png"


class AsyncCheckpointer:
    """Evaluates samples and writes checkpoints in a thread of rank 0, never two at once.

    Training stands still only while the state is copied, or where the storage is slower than the interval. A checkpoint
    that the storage refuses is reported and given up: the next one is tried again, and the one before stays.
    """

    def __init__(
        self,
        config: TrainConfig,
        store: CheckpointStore,
        evaluator: SampleEvaluator,
        send: Callable[[RankEvent], None],
        scratch: Path,
        scheduled: Callable[[int], bool] = lambda images_seen: True,
    ) -> None:
        """`scheduled` gets images seen, and tells whether a checkpoint is one of the run's schedule."""
        self.scheduled = scheduled
        self.config, self.store, self.evaluator, self.send, self.scratch = config, store, evaluator, send, scratch
        self.refusal = ""
        """Why the latest checkpoint is not in the storage; empty if it is."""
        self.stalled = 0.0
        """Seconds that training stood still for checkpoints."""
        self._grids: dict[str, bytes] = {}
        """Those that are not in the storage yet, by name."""
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def cancel_evaluation(self) -> None:
        """Measure no quality any more, so that every checkpoint is written at once; `evaluate_again` makes up for it."""
        self.evaluator.cancelled.set()

    def save(
        self,
        players: Players,
        progress: Progress,
        log: Log,
        *,
        drawn: bool,
        measured: bool,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to keep the present state, after the one before has been written.

        Args:
            players: they may go on as soon as this returns.
            progress: where the run is.
            log: what was reported so far; the last line gets the quality figures.
            drawn: draw a grid of samples too.
            measured: measure their quality too, which takes a grid.
            while_waiting: called again and again while the one before is being written; it may `cancel_evaluation`.
        """
        began = time.monotonic()
        self.wait(while_waiting)
        generator = players.plain_generator() if drawn else None
        self._begin(progress, to_memory(players.state()), list(log), generator, measured=measured)
        self.stalled += time.monotonic() - began

    def evaluate_again(self, path: str, log: Log) -> None:
        """Begin to measure the quality of a checkpoint whose evaluation was cancelled, and to replace it by one with figures.

        Args:
            path: of the checkpoint.
            log: what had been reported then; the last line gets the quality figures.
        """
        self.wait()
        _, progress, state = load_checkpoint(self.store.folder.fetch(path, self.scratch))
        players = build_players(self.config, device=self.evaluator.device)
        players.load_state(state)
        self._begin(progress, state, log, players.plain_generator(), measured=True, replaces=path)

    def wait(self, while_waiting: Callable[[], None] = lambda: None) -> None:
        """Wait for the checkpoint that is being written; raises what went wrong there, other than a refusal."""
        while self._thread is not None and self._thread.is_alive():
            while_waiting()
            self._thread.join(LOOK_EVERY_SECONDS)
        if self._error is not None:
            raise self._error

    def _begin(
        self,
        progress: Progress,
        state: State,
        log: Log,
        generator: Generator | None,
        *,
        measured: bool,
        replaces: str = "",
    ) -> None:
        def run() -> None:
            try:
                self._write(progress, state, log, generator, measured=measured, replaces=replaces)
            except BaseException as error:  # raised where training waits for it
                self._error = error

        self._thread = threading.Thread(target=run, name="checkpoint", daemon=True)
        self._thread.start()

    def _write(
        self, progress: Progress, state: State, log: Log, generator: Generator | None, *, measured: bool, replaces: str
    ) -> None:
        quality, grid = {}, b""
        if generator is not None:
            try:
                quality, grid = self.evaluator(generator, measured=measured)
            except CancelledEvaluation:
                if replaces:
                    return
            else:
                log[-1]["metrics"] |= quality
                self._grids[grid_name(progress.images_seen)] = grid
        self._keep_grids()  # first, so that a checkpoint which has figures has its grid too
        progress = dataclasses.replace(progress, frechet=quality.get(SCORE))
        self.refusal = ""
        try:
            self.store.write(self.config, progress, state, log, self.scratch)
        except OSError as error:
            self.refusal = f"the checkpoint at {progress.images_seen:,} images could not be kept ({error})"
        else:
            if replaces:
                self.store.folder.remove(replaces)
            with suppress(OSError):  # what is expired costs room until the next checkpoint, and nothing else
                self.store.tidy(self.config, self.scheduled)
            self._keep_grids()
        self.send(CheckpointWritten(images_seen=progress.images_seen, quality=quality, grid=grid, refusal=self.refusal))

    def _keep_grids(self) -> None:
        """Write grids to the storage; those that it refuses are tried again after the next checkpoint that it takes."""
        with suppress(OSError):
            for name in list(self._grids):
                self.store.folder.write_bytes(name, self._grids[name])
                del self._grids[name]
