"""The search from the driver's side: start or go on, sweep, repeat the best, register, sum up."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dcgan_dist.config import InputError, flatten
from dcgan_dist.launch.cluster import join_cluster
from dcgan_dist.launch.run_folder import RunFolder
from dcgan_dist.launch.run_plan import check_same_identity
from dcgan_dist.launch.search_plan import SearchConfig, SearchPlan, plan_search
from dcgan_dist.launch.search_report import (
    ERROR,
    best_of,
    describe,
    describe_probe,
    summary,
    top_table,
    trial_line,
)
from dcgan_dist.launch.search_result import record_result
from dcgan_dist.launch.sweep import Listener, check_room, places, probe, sweep
from dcgan_dist.launch.trial import OUTCOME, VALIDATION, Context, Task
from dcgan_dist.launch.trial_runs import TrialRuns, trial_folder
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import check_reachable, without_password

PROBE_STEPS = 20
SEARCH_DRAW = 0  # the labels that all trials are compared on; the repeats have 1, 2, ...


def run_search(config: SearchConfig, *, say: Callable[[str], None] = print) -> int:
    """Search, or go on where an earlier start of the same search ended, and register the best network.

    Args:
        config: with absolute paths.
        say: prints a line.

    Returns:
        Exit code: 0 finished, 1 failed, 130 or 143 stopped by a signal.

    Raises:
        InputError: something a user can mend; nothing was written.
    """
    plan = plan_search(config)
    if config.dry_run:
        say(f"{describe(plan)}\nnothing was written")
        return 0
    if config.plan:
        return _probe(plan, say)
    folder = RunFolder(config.storage, plan.name)
    try:
        if finished := _finished_result(plan, folder):
            say(f"search {plan.name} is finished; for more give more --trials or --repeats")
            say(summary(finished))
            return 0
        folder.refuse_if_alive()
    except OSError as error:
        raise InputError(f"--storage {config.storage} cannot be read ({error}): mend it or name another") from error
    check_reachable(config.tracking_uri)
    join_cluster(verbose=config.verbose)
    check_room(config)

    say(f"search {plan.name}: {config.trials} trials on {plan.data.describe()}")
    say(f"storage {config.storage}, tracking {without_password(config.tracking_uri)}")
    with folder.heartbeat(config.heartbeat_seconds):
        _finished_result(plan, folder)  # again: another start of this name may have come first
        tags = environment_tags() | {"data_hash": plan.data.hash, "storage": config.storage}
        params = flatten(config) | {f"space.{path}": str(one) for path, one in plan.identity["space"].items()}
        run = TrackedRun.attach_or_create(
            folder.read_json("run.json"), config.tracking_uri, config.experiment, plan.name, params, tags
        )
        folder.write_json(
            "run.json",
            {
                "identity": plan.identity,
                "trials": config.trials,
                "repeats": config.repeats,
                "config": dataclasses.asdict(config),
                "run_id": run.run_id,
                "tracking_uri": config.tracking_uri,
            },
        )
        with run.system_metrics():
            return Search(plan, folder, run, say).exit_code()


def _finished_result(plan: SearchPlan, folder: RunFolder) -> dict[str, Any] | None:
    """The result of a search that has nothing left to do; None where there is something.

    Raises:
        InputError: the name belongs to another search, or to a longer one.
    """
    recorded, config = folder.read_json("run.json"), plan.config
    if not recorded:
        return None
    check_same_identity(recorded["identity"], plan.identity, name=plan.name, storage=config.storage)
    for field in ("trials", "repeats"):
        if getattr(config, field) < recorded[field]:
            raise InputError(
                f"search {plan.name} was started with {recorded[field]} {field} and now has {getattr(config, field)}: it can "
                "be made longer, not shorter; give at least the old number, or another --run-name"
            )
    result = folder.read_json("result.json")
    if not result or result["status"] != "FINISHED":
        return None
    done = len(result["trials"]) == config.trials and len(result["repeats"]) == config.repeats
    return result if done else None


def _probe(plan: SearchPlan, say: Callable[[str], None]) -> int:
    config = plan.config
    say(describe(plan))
    say(
        f"starting: {PROBE_STEPS} steps of trial 0 on {config.cpus_per_trial:g} CPU and {config.gpus_per_trial:g} GPU, on the "
        "cluster that RAY_ADDRESS names, else on a Ray of its own on this machine, which ends with this command"
    )
    join_cluster(verbose=config.verbose)
    check_room(config)
    context = _context(plan, {0: _trial_task(plan, 0)}, keep_network=False)
    say(describe_probe(plan, probe(config, context, PROBE_STEPS), places(config)))
    say("nothing was written")
    return 0


class Interrupted(BaseException):
    """A signal asked the search to stop."""

    def __init__(self, number: int) -> None:
        self.number = number


class Search:
    """Does what is left to do of a search, and leaves outcomes, tracked runs, result and model behind truthfully."""

    def __init__(self, plan: SearchPlan, folder: RunFolder, run: TrackedRun, say: Callable[[str], None]) -> None:
        self.plan, self.folder, self.run, self.say = plan, folder, run, say
        self.began = time.monotonic()
        self.runs = TrialRuns(run, folder, plan.trials, say)
        self.outcomes = self._outcomes(trial_folder, range(plan.config.trials))
        self.last: dict[int, dict[str, Any]] = {}
        """What each running trial has measured last."""

    def exit_code(self) -> int:
        """Search and sum up: 0 finished, 1 failed, 128 + signal number after a signal."""
        try:
            with _hearing_signals():
                self._sweep()
                best = best_of(self.outcomes)
                if best is None:
                    return self._fail(
                        f"none of {self.plan.config.trials} trials finished, the first says: {self.outcomes[0].get('error')}"
                    )
                self.say(top_table(self.plan, self.outcomes))
                repeats = self._repeat(best)
                result = record_result(
                    self.plan,
                    self.folder,
                    self.run,
                    self.runs,
                    self.outcomes,
                    best,
                    repeats,
                    time.monotonic() - self.began,
                )
        except Interrupted as stopped:
            self.runs.leave()
            self.run.finish("KILLED")
            self.say(
                f"{signal.Signals(stopped.number).name}: stopped; the same command goes on from the last checkpoints"
            )
            return 128 + stopped.number
        except Exception as error:  # the storage, the registry, the cluster: trials have outcomes of their own
            self.runs.leave()
            return self._fail(f"{type(error).__name__}: {str(error).strip()}")
        self.run.finish("FINISHED")
        self.say(summary(result))
        return 0

    def _sweep(self) -> None:
        done = len(self.outcomes)
        self.runs.settle(self.outcomes)
        left = [number for number in range(self.plan.config.trials) if number not in self.outcomes]
        if done:
            going_on = sum(bool(self.folder.files(trial_folder(number))) for number in left)
            self.say(f"{done} of {len(self.plan.trials)} trials are done; {going_on} of the others had been started")
        if left:
            context = _context(
                self.plan, {number: _trial_task(self.plan, number) for number in left}, keep_network=False
            )
            listener = Listener(started=self.runs.started, reported=self._reported, ended=self._ended)
            sweep(self.plan.config, self.folder, context, listener)
        self.runs.settle(self.outcomes)

    def _reported(self, number: int, metrics: dict[str, float], images_seen: int) -> None:
        self.last[number] = {ERROR: metrics[VALIDATION], "metrics": metrics, "images_seen": images_seen}
        self.runs.reported(number, metrics, images_seen)

    def _ended(self, number: int, error: str) -> None:
        outcome = self.folder.read_json(f"{trial_folder(number)}/{OUTCOME}")
        if outcome is None:  # the cluster ended it, so it could not say so itself
            outcome = (
                {"status": "FAILED", "error": error} if error else {"status": "STOPPED"} | self.last.get(number, {})
            )
            self.folder.write_json(f"{trial_folder(number)}/{OUTCOME}", outcome)
        self.outcomes[number] = outcome
        self.runs.ended(number, outcome)
        best = best_of(self.outcomes)
        figures = {
            "search/trials_ended": float(len(self.outcomes)),
            "search/trials_failed": float(sum(one["status"] == "FAILED" for one in self.outcomes.values())),
        } | ({"search/best_error_percent": self.outcomes[best][ERROR]} if best is not None else {})
        self.run.log_metrics(figures, len(self.outcomes))
        self.say(trial_line(self.plan, self.outcomes, number, self._seconds_left(number)))

    def _seconds_left(self, number: int) -> float:
        """By the arithmetic that is done and left, at the pace since this start."""
        costs = {n: self.plan.flops(self.plan.trials[n]) for n in range(self.plan.config.trials)}
        self.paid = getattr(self, "paid", 0.0) + costs[number]
        left = sum(cost for n, cost in costs.items() if n not in self.outcomes)
        return left * (time.monotonic() - self.began) / self.paid

    def _repeat(self, best: int) -> dict[int, dict[str, Any]]:
        """Train the best configuration on fresh draws of labels; outcomes by draw."""
        draws = range(1, self.plan.config.repeats + 1)

        def folder_of(draw: int) -> str:
            return repeat_folder(best, draw)

        outcomes = self._outcomes(folder_of, draws)
        left = [draw for draw in draws if draw not in outcomes]
        self.say(f"trial {best} again on {len(draws)} fresh draws of labels, {len(outcomes)} of them are done")

        def ended(draw: int, error: str) -> None:
            outcome = self.folder.read_json(f"{folder_of(draw)}/{OUTCOME}")
            if outcome is None:
                outcome = {"status": "FAILED", "error": error}
                self.folder.write_json(f"{folder_of(draw)}/{OUTCOME}", outcome)
            outcomes[draw] = outcome
            figures = [
                f"{name} error {outcome[key]:.2f} %" for name, key in FIGURES.items() if outcome.get(key) is not None
            ]
            self.say(f"{len(outcomes):3}/{len(draws)} | draw {draw:3} | {', '.join(figures) or outcome['error'][:120]}")

        if left:
            config = self.plan.trials[best]
            tasks = {
                draw: Task(name=folder_of(draw), config=dataclasses.asdict(self.plan.repeat(config, draw)), draw=draw)
                for draw in left
            }
            listener = Listener(started=lambda draw: None, reported=lambda draw, metrics, seen: None, ended=ended)
            sweep(self.plan.config, self.folder, _context(self.plan, tasks, keep_network=True), listener)
        return outcomes

    def _outcomes(self, folder_of: Callable[[int], str], numbers: range) -> dict[int, dict[str, Any]]:
        found = {number: self.folder.read_json(f"{folder_of(number)}/{OUTCOME}") for number in numbers}
        return {number: outcome for number, outcome in found.items() if outcome}

    def _fail(self, error: str) -> int:
        self.folder.write_json("result.json", {"status": "FAILED", "run_name": self.plan.name, "error": error})
        self.run.finish("FAILED")
        self.say(f"error: {error}")
        return 1


FIGURES = {"validation": ERROR, "test": "test_error_percent"}


def repeat_folder(trial: int, draw: int) -> str:
    """Folder of a repeat of a trial below the search's."""
    return f"repeats/{trial:03}/{draw:03}"


def _trial_task(plan: SearchPlan, number: int) -> Task:
    return Task(name=trial_folder(number), config=dataclasses.asdict(plan.trials[number]), draw=SEARCH_DRAW)


def _context(plan: SearchPlan, tasks: dict[int, Task], *, keep_network: bool) -> Context:
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


@contextmanager
def _hearing_signals() -> Iterator[None]:
    # Only the main thread may set handlers.
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()

    def interrupt(number: int, _: object) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
