"""One start of a search: trials that have no outcome yet, the best one again on fresh labels, the result."""

import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from dcgan_dist.cli.signals import listening_to_signals
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.outcome import spool_folder
from dcgan_dist.search.plan import SearchPlan
from dcgan_dist.search.result import CompletedSearch
from dcgan_dist.search.summary import ERROR, best_of, repeat_line, summary, top_table, trial_line
from dcgan_dist.search.sweep import Listener, sweep
from dcgan_dist.search.trial import OUTCOME, VALIDATION, Context, Task
from dcgan_dist.search.trial_runs import PATIENCE_SECONDS, TrialRuns, repeat_folder, trial_folder
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool

SEARCH_DRAW = 0  # the labels that all trials are compared on; the repeats have 1, 2, ...

_log = logging.getLogger(__name__)


class Interrupted(BaseException):
    """A signal asked the search to stop."""

    def __init__(self, number: int) -> None:
        self.number = number


class Search:
    """Does what a search still lacks, and leaves outcomes, tracked runs, result and model behind as they are."""

    def __init__(self, plan: SearchPlan, folder: RunFolder, run: TrackedRun) -> None:
        self.plan, self.folder, self.run = plan, folder, run
        self.began = time.monotonic()
        self.spool = Spool(run, spool_folder(folder, run.run_id))
        self.runs = TrialRuns(run, folder, plan.trials)
        self.outcomes = self._outcomes(trial_folder, range(plan.config.trials))
        self.last: dict[int, dict[str, Any]] = {}
        """What each running trial has measured last."""
        self.signal = 0
        self.flops_done = 0.0
        """Operations of the trials that ended since this start."""

    def exit_code(self) -> int:
        """Search and sum up: 0 finished, 1 failed, 128 + signal number after a signal."""
        try:
            with listening_to_signals(self._on_signal):
                self._sweep()
                self._check()
                best = best_of(self.outcomes)
                if best is None:
                    first = self.outcomes[0].get("error")
                    return self._fail(f"none of {self.plan.config.trials} trials finished, the first says: {first}")
                _log.info(top_table(self.plan, self.outcomes))
                repeats = self._repeat(best)
                self._check()
                completed = CompletedSearch(
                    plan=self.plan,
                    folder=self.folder,
                    run=self.run,
                    runs=self.runs,
                    outcomes=self.outcomes,
                    best=best,
                    repeats=repeats,
                )
                result = completed.record(time.monotonic() - self.began)
        except Interrupted as stopped:
            self.runs.leave()
            self.spool.finish("KILLED", patience=PATIENCE_SECONDS)
            name = signal.Signals(stopped.number).name
            _log.info("%s: stopped; the same command goes on from the last checkpoints", name)
            return 128 + stopped.number
        except Exception as error:  # the storage, the registry, the cluster: trials have outcomes of their own
            self.runs.leave()
            return self._fail(f"{type(error).__name__}: {str(error).strip()}")
        self._finish_tracking()
        _log.info(summary(result))
        return 0

    def send_unsent(self) -> None:
        """Send what the tracking server of a finished search did not take at its end."""
        self.runs.settle(self.outcomes)
        self._finish_tracking()

    def _finish_tracking(self) -> None:
        if not self.spool.finish("FINISHED", patience=PATIENCE_SECONDS):
            _log.warning("tracking: %s", self.spool.missing())

    def _sweep(self) -> None:
        """Train the trials that have no outcome yet."""
        done, trials = len(self.outcomes), range(self.plan.config.trials)
        self.runs.settle(self.outcomes)
        tasks = {number: trial_task(self.plan, number) for number in trials if number not in self.outcomes}
        if done:
            started = sum(bool(self.folder.files(task.name)) for task in tasks.values())
            _log.info("%d of %d trials are done; %d of the others had been started", done, len(trials), started)
        if tasks:
            listener = Listener(
                started=self.runs.started, reported=self._reported, ended=self._ended, check=self._check
            )
            sweep(self.plan.config, self.folder, context_of(self.plan, tasks, keep_network=False), listener)
        self.runs.settle(self.outcomes)

    def _reported(self, number: int, metrics: dict[str, float], images_seen: int) -> None:
        self.last[number] = {ERROR: metrics[VALIDATION], "metrics": metrics, "images_seen": images_seen}
        self.runs.reported(number, metrics, images_seen)

    def _ended(self, number: int, error: str) -> None:
        outcome = self._outcome(trial_folder(number), error, self.last.get(number, {}))
        self.outcomes[number] = outcome
        self.runs.ended(number, outcome)
        best = best_of(self.outcomes)
        metrics = {
            "search/trials_ended": float(len(self.outcomes)),
            "search/trials_failed": float(sum(outcome["status"] == "FAILED" for outcome in self.outcomes.values())),
        } | ({"search/best_error_percent": self.outcomes[best][ERROR]} if best is not None else {})
        self.spool.log_metrics(metrics, len(self.outcomes))
        _log.info(trial_line(self.plan, self.outcomes, number, self._seconds_left(number)))

    def _seconds_left(self, ended: int) -> float:
        """By the arithmetic that is done and still to do, at the pace since this start."""
        self.flops_done += self.plan.flops[ended]
        flops_left = sum(cost for number, cost in enumerate(self.plan.flops) if number not in self.outcomes)
        return flops_left * (time.monotonic() - self.began) / self.flops_done

    def _repeat(self, best: int) -> dict[int, dict[str, Any]]:
        """Train the best configuration on fresh draws of labels; outcomes by draw."""
        draws = range(1, self.plan.config.repeats + 1)
        folders = {draw: repeat_folder(best, draw) for draw in draws}
        outcomes = self._outcomes(folders.__getitem__, draws)
        if draws:
            _log.info(
                "trial %d again on %d fresh draws of labels, %d of them are done", best, len(draws), len(outcomes)
            )

        def ended(draw: int, error: str) -> None:
            outcomes[draw] = self._outcome(folders[draw], error, {})
            _log.info(repeat_line(outcomes, draw, len(draws)))

        configs = {draw: self.plan.repeat(self.plan.trials[best], draw) for draw in draws if draw not in outcomes}
        tasks = {
            draw: Task(name=folders[draw], config=dataclasses.asdict(config), draw=draw)
            for draw, config in configs.items()
        }
        if tasks:
            context = context_of(self.plan, tasks, keep_network=True)
            sweep(self.plan.config, self.folder, context, Listener(ended=ended, check=self._check))
        return outcomes

    def _outcome(self, name: str, error: str, last: dict[str, Any]) -> dict[str, Any]:
        """What a training left in its folder; where the cluster ended it, so that it could not, what is known of it."""
        outcome = self.folder.read_json(f"{name}/{OUTCOME}")
        if outcome is None:
            outcome = {"status": "FAILED", "error": error} if error else {"status": "STOPPED"} | last
            self.folder.write_json(f"{name}/{OUTCOME}", outcome)
            for path in CheckpointStore(RunFolder(self.folder.storage, f"{self.folder.name}/{name}")).paths():
                self.folder.remove(path)
        return outcome

    def _outcomes(self, folder_of: Callable[[int], str], numbers: range) -> dict[int, dict[str, Any]]:
        outcomes = {number: self.folder.read_json(f"{folder_of(number)}/{OUTCOME}") for number in numbers}
        return {number: outcome for number, outcome in outcomes.items() if outcome}

    def _on_signal(self, number: int, _: object) -> None:
        """First signal: leave at the next look. Second: leave. To raise here would break a call that Ray is in."""
        if self.signal:
            os._exit(128 + number)
        self.signal = number
        _log.info("%s: leaving; once more to leave at once", signal.Signals(number).name)

    def _check(self) -> None:
        if self.signal:
            raise Interrupted(self.signal)

    def _fail(self, error: str) -> int:
        result = {"job": "search", "status": "FAILED", "run_name": self.plan.name, "error": error}
        self.folder.write_json("result.json", result)
        self.spool.finish("FAILED", patience=PATIENCE_SECONDS)
        _log.error("%s", error)
        return 1


def trial_task(plan: SearchPlan, number: int) -> Task:
    """The training that a trial is."""
    return Task(name=trial_folder(number), config=dataclasses.asdict(plan.trials[number]), draw=SEARCH_DRAW)


def context_of(plan: SearchPlan, tasks: dict[int, Task], *, keep_network: bool) -> Context:
    """What tasks share; those that keep their network are the repeats, which alone see the test images."""
    config = plan.config
    return Context(
        storage=config.storage,
        run_name=plan.name,
        tasks=tasks,
        draws={number: plan.data.draw(number) for number in {task.draw for task in tasks.values()}},
        test=plan.data.test if keep_network else None,
        keep_network=keep_network,
        measurements=config.measurements,
        checkpoint_seconds=config.checkpoint_seconds,
        threads=max(1, int(config.cpus_per_trial)),
    )
