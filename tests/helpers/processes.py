"""The processes of one Ray session, by what they do; those of other sessions on the machine are never touched."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

RANK, CONTROLLER = "RayTrainWorker", "TrainController"
LOADER = "dcgan_dist.data.loader_process"
# Free processes, agents of a node, one coordinator for all runs; and what tidies up after a controller, which without a
# dashboard does not learn that its controller is gone.
RAYS_OWN = ("IDLE", "Agent", "AutoscalingCoordinator", "PlacementGroupCleaner")


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def raylets(session: str) -> list[psutil.Process]:
    """Raylets whose files lie under a folder."""
    found = [p for p in psutil.process_iter(["ppid"]) if "raylet/raylet" in (c := _command(p)) and session in c]
    ids = {process.pid for process in found}
    # A worker that is just being started has its raylet's command still.
    return [process for process in found if process.info["ppid"] not in ids]


def actors(session: str, kind: str) -> list[psutil.Process]:
    """Processes of actors of a class, by process id."""
    found: list[psutil.Process] = []
    for raylet in raylets(session):
        try:
            found += [child for child in raylet.children() if kind in _command(child)]
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


def left_behind(session: str) -> list[str]:
    """Commands of all processes that have something to do with a session."""
    return [c for p in psutil.process_iter() if session in (c := _command(p)) and p.status() != psutil.STATUS_ZOMBIE]


def end_all(session: str, seconds: float = 30) -> None:
    """Kill every process that has something to do with a session, and what they started.

    Raises:
        AssertionError: some are still there after so many seconds.
    """
    until = time.monotonic() + seconds
    while left := [p for p in psutil.process_iter() if session in _command(p) and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < until, [_command(process) for process in left]
        for process in left:
            try:
                family = [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
            for member in family:
                with suppress(psutil.Error):
                    member.kill()
        time.sleep(0.2)


def at_work(session: str) -> list[str]:
    """Processes of a session that do, or did, something for a run: actors, tasks, and what reads for them."""
    found: list[str] = []
    for raylet in raylets(session):
        try:
            children = [_command(child).strip() for child in raylet.children()]
        except psutil.Error:
            continue
        found += [c for c in children if c.startswith("ray::") and not any(name in c for name in RAYS_OWN)]
    for process in psutil.process_iter():
        try:
            if LOADER in _command(process) and session in process.cwd():
                found.append(f"{process.pid}: {LOADER}")
        except psutil.Error:
            continue
    return found
