"""Many independent tasks that share one object, on the Ray cluster; a task whose process dies is started again."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from dcgan_dist.cluster.join import join_cluster
from dcgan_dist.errors import InputError

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

WAITING_PER_CPU = 2
"""Tasks handed to Ray ahead of need; more would only fill its memory with what they are given."""
SECONDS_TO_STOP = 60


@dataclass(slots=True)
class TaskTime:
    """How long this process has had tasks on the cluster."""

    number: int = 0
    """How many there were."""
    seconds: float = 0.0
    """By the clock."""
    driver: float = 0.0
    """Processor time of this process meanwhile: it delays nothing as long as it takes less than the tasks do."""


TASK_TIME = TaskTime()
"""Since this process began."""


def run_tasks(
    function: Callable[[Shared, Task], Result],
    shared: Shared,
    tasks: Sequence[Task],
    *,
    cpus: int = 0,
    gpu_share: float = 0,
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, as they are finished; a cluster is joined before this returns, so before any bar is drawn.

    Args:
        function: called as function(shared, task) in some process.
        shared: sent to every node once.
        tasks: independent of each other, and safe to be done twice.
        cpus: tasks at once; 0: as many as the cluster has CPUs; 1: one after the other in this process, without Ray.
        gpu_share: share of a GPU that each task asks for; used only where the cluster has one.

    Raises:
        InputError: a task raised it.
    """
    if cpus == 1 or len(tasks) <= 1:  # not worth starting anything
        return ((task, function(shared, task)) for task in tasks)
    join_cluster()
    return _run_on_cluster(function, shared, tasks, cpus, gpu_share)


def map_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], *, cpus: int = 0) -> Iterator[Result]:
    """Results of tasks in their order; arguments as in `run_tasks`, and a cluster is joined as there."""
    return _in_order(run_tasks(_call_numbered, function, list(enumerate(tasks)), cpus=cpus))


def _in_order(results: Iterator[tuple[tuple[int, Any], Result]]) -> Iterator[Result]:
    early: dict[int, Result] = {}
    due = 0
    for (number, _), result in results:
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


def _call_numbered(function: Callable[[Any], Any], task: tuple[int, Any]) -> Any:
    return function(task[1])


def _run_on_cluster(
    function: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task], cpus: int, gpu_share: float
) -> Iterator[tuple[Task, Result]]:
    resources = ray.cluster_resources()
    remote = ray.remote(num_cpus=1, num_gpus=gpu_share if resources.get("GPU") else 0, max_retries=3)(_call)
    shared_reference = ray.put(shared)
    waiting = list(reversed(tasks))
    running: dict[ray.ObjectRef, Task] = {}
    most = int(resources.get("CPU", 1))
    at_once = cpus if 0 < cpus < most else (cpus or most) * WAITING_PER_CPU
    began, busy = time.perf_counter(), time.process_time()
    TASK_TIME.number += len(tasks)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                task = waiting.pop()
                running[remote.remote(function, shared_reference, task)] = task
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(ready), ray.get(ready)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(str(error.cause)) from error
        raise
    finally:
        TASK_TIME.seconds += time.perf_counter() - began
        TASK_TIME.driver += time.process_time() - busy
        for reference in running:
            ray.cancel(reference)
        if running:  # a task that still writes would meet its own repetition in the next call
            ray.wait(list(running), num_returns=len(running), timeout=SECONDS_TO_STOP, fetch_local=False)


def _call(function: Callable[[Any, Any], Any], shared: Any, task: Any) -> Any:
    """A partial, which Ray itself takes for no function, may be called too."""
    return function(shared, task)
