"""Checkpoints: folders of files that prove themselves by hash.

`checkpoint.json` is written last and holds the SHA-256 of every other file, so a folder without it, or with a file that
does not match, is no checkpoint. Tensors are read back with `weights_only=True`: nothing in a checkpoint can run code.

No random state is kept because none exists: z, initialisation and data order are functions of seed and step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_dist.config import InputError, TrainConfig, from_dict

MANIFEST = "checkpoint.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run is, beside its tensors."""

    step: int = 0
    """Steps done."""
    images_seen: int = 0
    """Real images consumed, step times batch size: also the position in the data."""
    alarm_count: int = 0
    """Consecutive reports that looked collapsed."""
    best_frechet: float | None = None
    """Lowest Frechet distance measured so far."""


def save_checkpoint(folder: Path, config: TrainConfig, progress: Progress, state: dict[str, dict[str, Any]]) -> None:
    """Write a checkpoint folder under a temporary name and rename it.

    Args:
        folder: must not exist yet, or be what a killed process left of it.
        config: resolved config of the run.
        progress: where the run is.
        state: `Players.state()`.
    """
    draft = folder.with_name(folder.name + ".tmp")
    for leftover in (draft, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, part in state.items():
        torch.save(part, draft / f"{name}.pt")
    (draft / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1))
    (draft / "progress.json").write_text(json.dumps(dataclasses.asdict(progress), indent=1))
    files = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    (draft / MANIFEST).write_text(json.dumps({"version": 1, "sha256": files}, indent=1))
    for path in draft.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    draft.rename(folder)


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder in words, None if every file is as it was written."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["sha256"]
        for name, expected in files.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if _sha256(folder / name) != expected:
                return f"{name} does not match its hash"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    return None


def load_checkpoint(
    folder: Path, *, device: torch.device | str = "cpu"
) -> tuple[TrainConfig, Progress, dict[str, dict[str, Any]]]:
    """Read a checkpoint back.

    Raises:
        InputError: the folder is damaged.
    """
    if wrong := damage(folder):
        raise InputError(f"checkpoint {folder}: {wrong}; use another checkpoint")
    config = from_dict(TrainConfig, json.loads((folder / "config.json").read_text()))
    progress = Progress(**json.loads((folder / "progress.json").read_text()))
    files = json.loads((folder / MANIFEST).read_text())["sha256"]
    state = {
        Path(name).stem: torch.load(folder / name, map_location=device, weights_only=True)
        for name in files
        if name.endswith(".pt")
    }
    return config, progress, state


def state_sha256(state: dict[str, dict[str, Any]]) -> str:
    """Hash over every tensor of `Players.state()`: networks, optimisers, averages; equal exactly where all are equal."""
    digest = hashlib.sha256()
    for name, value in sorted(_tensors(state, "")):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(state: Any, prefix: str) -> list[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        return [(prefix, state)]
    if isinstance(state, dict):
        return [pair for key, value in state.items() for pair in _tensors(value, f"{prefix}.{key}")]
    return []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
