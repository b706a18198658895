"""The processes of one Ray session, by what they do; those of other sessions on the machine are never touched."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import psutil

Node = TypeVar("Node")
Value = TypeVar("Value")

RANK, CONTROLLER = "RayTrainWorker", "TrainController"
LOADER = "dcgan_dist.data.loader_process"
# Free processes, agents of a node, one coordinator for all runs; and what tidies up after a controller, which without a
# dashboard does not learn that its controller is gone.
RAYS_OWN = ("IDLE", "Agent", "AutoscalingCoordinator", "PlacementGroupCleaner")


def wait_until(condition: Callable[[], Value], seconds: float = 20) -> Value:
    """First true value of a condition, which must come within some seconds."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {seconds:g} s"
        time.sleep(0.05)
    return value


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def raylets(session: str) -> list[psutil.Process]:
    """Raylets whose files lie under a folder."""
    matches = [p for p in psutil.process_iter(["ppid"]) if "raylet/raylet" in (c := _command(p)) and session in c]
    ids = {process.pid for process in matches}
    # A worker that is just being started has its raylet's command still.
    return [process for process in matches if process.info["ppid"] not in ids]


def family(process: psutil.Process, *, recursive: bool = True) -> list[psutil.Process]:
    """A process and what it started; empty where it is gone."""
    try:
        return [process, *process.children(recursive=recursive)]
    except psutil.Error:
        return []


def actors(session: str, kind: str) -> list[psutil.Process]:
    """Processes of actors of a class, by process id."""
    children = [child for raylet in raylets(session) for child in family(raylet, recursive=False)[1:]]
    return sorted((child for child in children if kind in _command(child)), key=lambda process: process.pid)


def wait_for_rank(nodes: Callable[[], Iterable[tuple[Node, psutil.Process]]]) -> Node:
    """The first of some nodes, given with their raylets, on which a rank runs; waits for it for a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for node, raylet in nodes():
            if any(RANK in _command(process) for process in family(raylet)):
                return node
        time.sleep(0.2)
    raise AssertionError("no rank outside the head")


def _members(session: str) -> list[psutil.Process]:
    """All processes that have something to do with a session."""
    return [p for p in psutil.process_iter() if session in _command(p) and p.status() != psutil.STATUS_ZOMBIE]


def left_behind(session: str) -> list[str]:
    """Commands of all processes that have something to do with a session."""
    return [_command(process) for process in _members(session)]


def end_all(session: str, seconds: float = 30) -> None:
    """Kill every process that has something to do with a session, and what they started."""
    until = time.monotonic() + seconds
    while members := _members(session):
        assert time.monotonic() < until, [_command(process) for process in members]
        for process in (member for leader in members for member in family(leader)):
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.2)


def at_work(session: str) -> list[str]:
    """Processes of a session that do, or did, something for a run: actors, tasks, and what reads for them."""
    children = [child for raylet in raylets(session) for child in family(raylet, recursive=False)[1:]]
    commands = [command for child in children if (command := _command(child).strip()).startswith("ray::")]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if LOADER in _command(process) and session in process.cwd():
                commands.append(f"{process.pid}: {LOADER}")
    return [command for command in commands if not any(name in command for name in RAYS_OWN)]
