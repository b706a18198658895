"""One long run with fault after fault, replayable by its seed, and what each fault cost."""

import random
import threading
import time
from collections.abc import Sequence

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.driver import run_training
from tests.chaos.cost import Events, Heard, Injected
from tests.chaos.faults import FAULTS, Target
from tests.helpers.logs import listening


class Soak:
    """Trains, and lets a thread inject faults; each waits until the run took some steps after the one before."""

    def __init__(self, config: TrainConfig, session: str, faults: Sequence[str], *, seed: int, steps: int) -> None:
        """Plan the faults."""
        self.config, self.faults, self.steps = config, faults, steps
        events = Events(config)
        self.events, self.heard = events, Heard(events.steps_per_epoch)
        self.target = Target(session=session, folder=self.events.folder, random=random.Random(seed))
        self.injected: list[Injected] = []
        self._error: Exception | None = None

    def run(self) -> int:
        """Exit code of the training; raises what went wrong in injecting."""
        injector = threading.Thread(target=self._inject_all, daemon=True)
        injector.start()
        with listening(self.heard):
            code = run_training(self.config)
        injector.join(5)
        if self._error is not None:
            raise self._error
        return code

    def _inject_all(self) -> None:
        try:
            self._inject()
        except Exception as error:
            self._error = error

    def _inject(self) -> None:
        since = 0.0
        for fault in self.faults:
            begun = self.events.wait_for("first step", since)["images_seen"] // self.config.data.batch_size
            due = begun + self.target.random.randint(1, self.steps)
            # Two, because one may be damaged, and the one before is then to be taken.
            while self.heard.step < due or len(self.target.store.paths()) < 2:
                time.sleep(0.02)
            # The moment counts, not when the fault got through: looking for processes takes time too.
            before = time.time()
            detail = FAULTS[fault](self.target)
            one = self.events.cost(fault, before, lambda: self.heard.reached[-1], detail)
            self.injected.append(one)
            since = self.events.wait_for("ranks started", before)["time"]
