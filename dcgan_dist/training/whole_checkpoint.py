"""Checkpoints: folders of files that prove themselves by hash.

`checkpoint.json` is written last and holds the SHA-256 of every other file, so a folder without it, or with a file that
does not match, is no checkpoint. Tensors are read back with `weights_only=True`: nothing in a checkpoint can run code.

No random state is kept because none exists: z, initialisation and data order are functions of seed and step.
"""

import dataclasses
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.config import SupervisedConfig, TrainConfig, from_dict
from dcgan_dist.errors import InputError, printable
from dcgan_dist.files import content_hash, sha256_of
from dcgan_dist.models.tensor_files import read_tensors
from dcgan_dist.untrusted import Count, FileName, parse_json, read_file, reason, refusing

MANIFEST = "checkpoint.json"
LOG = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run is, beside its tensors."""

    step: Count = 0
    """Steps done."""
    images_seen: Count = 0
    """Real images consumed, step times batch size: also the position in the data."""
    alarm_count: Count = 0
    """Consecutive reports that looked collapsed."""
    rollbacks: Count = 0
    """How often the run went back because a loss was NaN or infinite; each time with fresh draws of data and z."""
    frechet: float | None = None
    """Frechet distance measured at this checkpoint."""
    pending: dict[str, Sequence[float]] = field(default_factory=dict)
    """Sum and number of each metric's values since the last report, where the run stopped between two."""


@dataclass(frozen=True, slots=True)
class _Hashes:
    """The content of checkpoint.json."""

    version: int
    sha256: dict[FileName, str]


State = dict[str, dict[str, Any]]
"""State dicts of networks and optimisers by name, as `Players.state()` gives them."""


def save_checkpoint(
    folder: Path,
    config: TrainConfig | SupervisedConfig,
    progress: Progress,
    state: State,
    log: Sequence[dict[str, Any]] = (),
) -> None:
    """Write a checkpoint folder under a temporary name and rename it.

    Args:
        folder: must not exist yet, or be what a killed process left of it.
        config: resolved config of the run.
        progress: where the run is.
        state: tensors of everything that learns, as `Players.state()` gives them.
        log: reports so far, without anything that depends on the clock; one JSON object each.
    """
    draft = folder.with_name(folder.name + ".tmp")
    for leftover in (draft, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, content in state.items():
        buffer = io.BytesIO()  # torch's own file writer raises RuntimeError where a disk is full, which is an OSError
        torch.save(content, buffer)
        (draft / f"{name}.pt").write_bytes(buffer.getbuffer())
    (draft / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1))
    (draft / "progress.json").write_text(json.dumps(dataclasses.asdict(progress), indent=1))
    (draft / LOG).write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in log))
    files = {path.name: sha256_of(path) for path in sorted(draft.iterdir())}
    (draft / MANIFEST).write_text(json.dumps({"version": 1, "sha256": files}, indent=1))
    for path in draft.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    draft.rename(folder)
    _flush_folder(folder.parent)


def damage(folder: Path) -> str | None:
    """The first fault of a checkpoint folder, as a message; None if every file is as it was written."""
    try:
        for name, expected in _hashes(folder).items():
            if not (folder / name).is_file():
                return f"{printable(name)} is missing"
            if sha256_of(folder / name) != expected:
                return f"{printable(name)} does not match its hash"
    except (OSError, ValueError) as error:
        return f"{MANIFEST} cannot be read ({reason(error)})"
    return None


def load_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> tuple[TrainConfig, Progress, State]:
    """Read a checkpoint of a training run back.

    Raises:
        InputError: the folder is damaged.
    """
    progress, state = load_state(folder, device=device)
    with _refusing(folder):
        return from_dict(TrainConfig, parse_json(read_file(folder / "config.json"), dict[str, Any])), progress, state


def load_state(folder: Path, *, device: torch.device | str = "cpu") -> tuple[Progress, State]:
    """Read progress and tensors of a checkpoint, whatever was trained.

    Raises:
        InputError: the folder is damaged.
    """
    if fault := damage(folder):
        raise InputError(f"checkpoint {folder}: {fault}; use another checkpoint")
    with _refusing(folder):
        progress = parse_json(read_file(folder / "progress.json"), Progress)
        tensors = [folder / name for name in _hashes(folder) if name.endswith(".pt")]
        return progress, {path.stem: read_tensors(path, device) for path in tensors}


def load_log(folder: Path) -> list[dict[str, Any]]:
    """Reports that had been made when a checkpoint was written, oldest first; raises InputError where they are damaged."""
    with _refusing(folder):
        return [parse_json(line, dict[str, Any]) for line in read_file(folder / LOG).splitlines()]


def _hashes(folder: Path) -> dict[str, str]:
    return parse_json(read_file(folder / MANIFEST), _Hashes, more=True).sha256


def _refusing(folder: Path) -> AbstractContextManager[None]:
    return refusing(f"checkpoint {folder} is not what a run wrote", "use another checkpoint")


def to_memory(state: State) -> State:
    """A copy in main memory that training no longer changes."""
    return {name: _copy(content) for name, content in state.items()}


def state_sha256(state: State) -> str:
    """Hash over every tensor of `Players.state()`: networks, optimisers, averages; equal exactly where all are equal."""
    digest = hashlib.sha256()
    for name, value in sorted(_tensors(state, "")):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def log_sha256(state_hash: str, log: Sequence[dict[str, Any]]) -> str:
    """Hash over a state's hash and the reports that led to it."""
    return content_hash([state_hash, list(log)])


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tensors(state: Any, prefix: str) -> list[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        return [(prefix, state)]
    if isinstance(state, dict):
        return [pair for key, value in state.items() for pair in _tensors(value, f"{prefix}.{key}")]
    return []
