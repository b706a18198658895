"""What all explorations share: how they are asked for, the networks they open, and the result they write."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dcgan_dist.errors import InputError, require
from dcgan_dist.evaluation.pictures import with_caption
from dcgan_dist.exploration.drawing import check_images_stand_alone
from dcgan_dist.exploration.sheets import framed
from dcgan_dist.launch.command_line import absolute, absolute_tracking_uri
from dcgan_dist.launch.models import load_generator
from dcgan_dist.launch.result_file import write_result
from dcgan_dist.models.authors_arrays import FILE, is_authors_folder
from dcgan_dist.models.generator import Generator
from dcgan_dist.tracking.lineage import find_lineage
from dcgan_dist.tracking.model_uri import in_registry


@dataclass(frozen=True, kw_only=True, slots=True)
class ExploreJob:
    """What every exploration is told."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, a checkpoint folder, or a folder of the authors'
    arrays."""
    out: str
    """Folder for the pictures and result.json; it is made."""
    seed: int = 0
    """Seed of all that is drawn."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""


def open_generator(model: str, tracking_uri: str, label: int = 0) -> Generator:
    """A generator, after making sure that its images stand alone.

    Raises:
        InputError: no such model, no such class, or images that depend on their batch mates.
    """
    generator = load_generator(model, tracking_uri)
    classes = generator.config.classes
    require(
        label == 0 or 0 <= label < classes,
        f"`label` {label}: {model} has {classes} classes" + (f", 0 to {classes - 1}" if classes else ""),
    )
    try:
        check_images_stand_alone(generator)
    except ValueError as error:
        raise InputError(f"{model} cannot be explored: {error}") from error
    return generator


def identify(model: str, tracking_uri: str) -> dict[str, Any]:
    """Which model exactly: its version and run in the registry, or the hash of its checkpoint or of the authors' arrays."""
    if in_registry(model):
        lineage = find_lineage(model, absolute_tracking_uri(tracking_uri))
        return {"asked_for": model, "uri": lineage.uri, "run_id": lineage.run_id, "tags": lineage.tags}
    folder = Path(model).expanduser()
    if is_authors_folder(folder):
        return {"asked_for": model, "uri": model, "sha256_of_arrays": _hash_arrays(folder)}
    content = (folder / "checkpoint.json").read_bytes()
    return {"asked_for": model, "uri": model, "sha256_of_checkpoint_json": hashlib.sha256(content).hexdigest()}


def _hash_arrays(folder: Path) -> str:
    """SHA-256 over the SHA-256 of every array, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(kw_only=True)
class Exploration:
    """Pictures and figures of one job, on their way into its folder."""

    name: str
    """walk, filters, windows, arithmetic or turn."""
    job: ExploreJob
    arguments: list[str]
    """Of the command line."""
    paper: str
    """What the paper did and saw."""
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    identity: dict[str, Any] = field(init=False)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.identity = identify(self.job.model, self.job.tracking_uri)
        self.folder = Path(absolute(self.job.out, "out"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"`out` {self.folder} cannot be made ({error.strerror}): name another place") from error

    @property
    def command(self) -> str:
        """The command that repeats this job."""
        return shlex.join(["python", "jobs/explore.py", self.name, *self.arguments])

    def add(self, file: str, picture: Image.Image, caption: str, *, source_images: bool = False) -> None:
        """Save a picture with a caption below it that also names model and seed.

        Args:
            file: its name in the folder.
            picture: of any size.
            caption: what is seen.
            source_images: it shows real images, which may not be published with the code.
        """
        line = f"{caption} Model {self.identity['uri']}, seed {self.job.seed}."
        sheet = framed(picture)
        with_caption(sheet, line).save(self.folder / file, format="PNG", optimize=True)
        self.note(file, caption, source_images=source_images, caption_at=sheet.height)

    def note(self, file: str, caption: str, *, source_images: bool = False, caption_at: int | None = None) -> None:
        """Enter a picture that is in the folder already; `caption_at` is the row of pixels where its own caption begins."""
        entry = {"file": file, "caption": caption, "shows_source_images": source_images, "caption_at": caption_at}
        self.pictures.append(entry)

    def finish(self) -> Path:
        """Write result.json and return its path."""
        result = {
            "job": f"explore {self.name}",
            "model": self.identity,
            "seed": self.job.seed,
            "command": self.command,
            "paper": self.paper,
            "figures": self.figures,
            "pictures": self.pictures,
        }
        return write_result(self.folder, result)
