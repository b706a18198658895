"""Faults, one small function each: they break something of a running job and say what."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.storage.run_folder import RunFolder
from tests.helpers.processes import CONTROLLER, LOADER, RANK, actors


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What a fault may break."""

    session: str
    """Folder of the Ray session whose processes may be touched."""
    folder: RunFolder
    random: random.Random
    damaged: list[str] = field(default_factory=list)
    """Names of the files of checkpoints that were damaged so far."""

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.folder)


def _kill(processes: list[psutil.Process]) -> str:
    assert processes, "nothing to kill"
    for process in processes:
        process.kill()
    return f"{len(processes)} killed"


def kill_a_rank(target: Target) -> str:
    return _kill([target.random.choice(actors(target.session, RANK))])


def kill_all_ranks(target: Target) -> str:
    return _kill(actors(target.session, RANK))


def kill_the_controller(target: Target) -> str:
    return _kill(actors(target.session, CONTROLLER))


def kill_a_loader(target: Target) -> str:
    """Kills a process that reads for a rank."""
    ranks = actors(target.session, RANK)
    loaders = [one for rank in ranks for one in rank.children() if LOADER in one.cmdline()]
    return _kill([target.random.choice(loaders)])


def stop_a_rank(target: Target) -> str:
    target.random.choice(actors(target.session, RANK)).send_signal(signal.SIGSTOP)
    return "stopped"


def kill_while_a_checkpoint_is_written(target: Target) -> str:
    """Kills all ranks while a draft lies in the storage."""
    ranks = actors(target.session, RANK)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if any(Path(target.folder.path).glob("checkpoint_*.tmp/generator.pt")):
            return _kill(ranks)
    raise AssertionError("no checkpoint was written within a minute")


def damage_the_newest_checkpoint(target: Target) -> str:
    """Damages one file of the newest checkpoint, each time another, then kills the ranks, so that it would be used."""
    ranks = actors(target.session, RANK)
    for process in ranks:
        process.suspend()  # nothing newer may come in between
    newest = Path(target.store.paths()[0])
    files = sorted(newest.iterdir())
    path = target.random.choice([one for one in files if one.name not in target.damaged] or files)
    target.damaged.append(path.name)
    kind = target.random.choice(["bit flip", "cut", "missing"])
    damage_file(path, kind, target.random)
    _kill(ranks)
    return f"{kind} of {path.name}"


def damage_file(path: Path, kind: str, draw: random.Random) -> None:
    """Flips a bit of a file, cuts it, or removes it."""
    content = bytearray(path.read_bytes())
    if kind == "missing" or not content:
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)


def tear_rays_list(target: Target) -> str:
    """Leaves half a list of checkpoints where Ray would look for one, and kills the controller, which reads it."""
    (Path(target.folder.path) / "checkpoint_manager_snapshot.json").write_text('{"checkpoint_results": [{"chec')
    return kill_the_controller(target)


Fault = Callable[[Target], str]
FAULTS: dict[str, Fault] = {
    "SIGKILL of a rank": kill_a_rank,
    "SIGKILL of all ranks": kill_all_ranks,
    "SIGKILL of the controller": kill_the_controller,
    "SIGKILL of all ranks during the write of a checkpoint": kill_while_a_checkpoint_is_written,
    "newest checkpoint damaged": damage_the_newest_checkpoint,
    "torn checkpoint_manager_snapshot.json": tear_rays_list,
    "SIGSTOP of a rank": stop_a_rank,
    "SIGKILL of a loader process": kill_a_loader,
}
