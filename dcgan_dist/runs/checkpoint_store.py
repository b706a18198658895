"""Checkpoints of a run in the storage: written so that a torn one is never taken, read only if whole, kept by policy.

The storage alone says which checkpoints there are: one counts from the moment its manifest lies there, whatever the
cluster had heard of it when something died. So Ray is told of none, and has no list of them that could be torn or old.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.config import SupervisedConfig, TrainConfig
from dcgan_dist.storage.filesystems import with_retries
from dcgan_dist.storage.run_folder import RunFolder, unique_suffix
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.training.whole_checkpoint import MANIFEST, Progress, State, damage, load_log, save_checkpoint

# Images seen, so that names sort by age, then a random part.
CHECKPOINT_NAME = re.compile(r"checkpoint_(\d{12})-[0-9a-f]{6}")
LIST_OF_RAY = "checkpoint_manager_snapshot.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCheckpoint:
    """A checkpoint in the storage."""

    path: str
    images_seen: int
    frechet: float | None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return Path(self.path).name


def expired(
    checkpoints: Sequence[StoredCheckpoint],
    *,
    newest: int,
    every_images: int,
    scheduled: Callable[[int], bool] = lambda images_seen: True,
) -> list[StoredCheckpoint]:
    """Checkpoints that the policy does not keep.

    Args:
        checkpoints: all there are.
        newest: so many of the newest stay.
        every_images: of each stretch of so many images the first checkpoint stays; 0: none for that reason.
        scheduled: gets images seen; the newest for which it holds stays, as a rollback goes there.
    """
    by_age = sorted(checkpoints, key=lambda checkpoint: (checkpoint.images_seen, checkpoint.name))
    stay = {*by_age[-newest:], *[one for one in by_age if scheduled(one.images_seen)][-1:]}
    measured = [checkpoint for checkpoint in by_age if checkpoint.frechet is not None]
    stay |= {min(measured, key=lambda best: (best.frechet, -best.images_seen))} if measured else set()
    if every_images:
        firsts: dict[int, StoredCheckpoint] = {}
        for checkpoint in by_age:
            firsts.setdefault(checkpoint.images_seen // every_images, checkpoint)
        stay |= {checkpoint for stretch, checkpoint in firsts.items() if stretch}
    return [checkpoint for checkpoint in by_age if checkpoint not in stay]


class CheckpointStore:
    """The checkpoints of one run folder; one process at a time writes."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.damaged: dict[str, str] = {}
        """What is wrong with each damaged checkpoint, by path."""

    def paths(self) -> list[str]:
        """Folders of all checkpoints, whole or not, newest first."""
        return [path for path in self.folder.files("") if CHECKPOINT_NAME.fullmatch(Path(path).name)]

    def newest_whole(
        self,
        *,
        wanted: Callable[[int], bool] = lambda images_seen: True,
        on_damage: Callable[[str, str], None] = lambda path, wrong: None,
    ) -> str | None:
        """The newest checkpoint that verifies, None if there is none.

        Args:
            wanted: gets images seen; tells whether a checkpoint may be taken.
            on_damage: gets path and fault of each newer one that does not verify.

        Raises:
            OSError: the storage did not answer for a while.
        """
        for path in with_retries(self.paths):
            if wanted(images_seen(path)):
                with scratch_folder() as scratch:
                    wrong = self._damage(path, scratch)
                if wrong is None:
                    return path
                self.damaged[path] = wrong
                on_damage(path, wrong)
        return None

    def config_of_newest(self) -> dict[str, Any] | None:
        """The config, as it was written, of the newest whole checkpoint; None where there is none."""
        newest = self.newest_whole() if with_retries(self.paths) else None
        return self.folder.read_json(f"{Path(newest).name}/config.json") if newest else None

    def log(self, path: str) -> list[dict[str, Any]]:
        """Reports that had been made when a whole checkpoint was written, oldest first."""
        with scratch_folder() as scratch:
            return load_log(self.folder.fetch(path, scratch))

    def _damage(self, path: str, scratch: Path) -> str | None:
        try:
            return damage(self.folder.fetch(path, scratch))
        except OSError as error:
            if not self.folder.local and not isinstance(error, FileNotFoundError):
                raise  # a store that is away says nothing about the checkpoint
            return f"it cannot be read ({error})"

    def write(
        self,
        config: TrainConfig | SupervisedConfig,
        progress: Progress,
        state: State,
        log: Sequence[dict[str, Any]],
        scratch: Path,
    ) -> StoredCheckpoint:
        """Write a checkpoint, trying again for a while where the storage refuses.

        Raises:
            OSError: it still refuses; nothing that could be taken for a checkpoint was left.
        """
        name = f"checkpoint_{progress.images_seen:012}-{unique_suffix()}"
        path = f"{self.folder.path}/{name}"

        def put() -> None:
            if self.folder.local:
                save_checkpoint(Path(path), config, progress, state, log)
                return
            draft = scratch / name
            try:
                save_checkpoint(draft, config, progress, state, log)
                # The manifest goes last, so that a torn upload is no checkpoint.
                for file in sorted(draft.iterdir(), key=lambda file: file.name == MANIFEST):
                    self.folder.write_bytes(f"{name}/{file.name}", file.read_bytes())
            finally:
                shutil.rmtree(draft, ignore_errors=True)

        with_retries(put, before_retry=lambda: self.folder.remove(path))
        return StoredCheckpoint(path=path, images_seen=progress.images_seen, frechet=progress.frechet)

    def tidy(
        self, config: TrainConfig, scheduled: Callable[[int], bool] = lambda images_seen: True
    ) -> list[StoredCheckpoint]:
        """Remove what the policy does not keep, once something newer is whole; returns what is left."""
        checkpoints = self._all()
        gone = expired(
            checkpoints, newest=config.keep_checkpoints, every_images=config.keep_every_images, scheduled=scheduled
        )
        for path in [checkpoint.path for checkpoint in gone] + list(self.damaged):
            self.folder.remove(path)
        self.damaged.clear()
        return [checkpoint for checkpoint in checkpoints if checkpoint not in gone]

    def best(self) -> StoredCheckpoint | None:
        """The whole checkpoint with the least Frechet distance; where none is measured, the newest."""
        ranked = sorted(self._all(), key=lambda best: (best.frechet is None, best.frechet or 0.0, -best.images_seen))
        for checkpoint in ranked:
            with scratch_folder() as scratch:
                if self._damage(checkpoint.path, scratch) is None:
                    return checkpoint
        return None

    def remove_after(self, seen: int) -> None:
        """Remove the checkpoints of more images than these: a run that went back makes others."""
        for path in self.paths():
            if images_seen(path) > seen:
                self.folder.remove(path)

    def remove_drafts(self) -> None:
        """Remove what killed writers left under temporary names or without a manifest."""
        drafts = [path for path in with_retries(lambda: self.folder.files("")) if path.endswith(".tmp")]
        for path in [*drafts, *(path for path in self.paths() if not self.folder.exists(f"{path}/{MANIFEST}"))]:
            self.folder.remove(path)

    def remove_list_of_ray(self) -> str | None:
        """Remove the list that Ray would go on from, as a torn or old one stops it; returns its name if it was torn."""
        path = f"{self.folder.path}/{LIST_OF_RAY}"
        if not with_retries(lambda: self.folder.exists(path)):
            return None
        torn = with_retries(lambda: self.folder.read_json(LIST_OF_RAY)) is None
        self.folder.remove(path)
        return LIST_OF_RAY if torn else None

    def _all(self) -> list[StoredCheckpoint]:
        return [checkpoint for path in self.paths() if (checkpoint := self._read(path))]

    def _read(self, path: str) -> StoredCheckpoint | None:
        if path in self.damaged:
            return None
        progress: Progress | None = self.folder.read_json(f"{Path(path).name}/progress.json", Progress)
        if progress is None:
            return None
        return StoredCheckpoint(path=path, images_seen=images_seen(path), frechet=progress.frechet)


def images_seen(path: str) -> int:
    """Real images that a checkpoint had consumed, by its name."""
    match = CHECKPOINT_NAME.fullmatch(Path(path).name)
    assert match, path
    return int(match[1])
