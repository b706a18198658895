"""What all explorations share: how they are asked for, the networks they open, and the result they write."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from scipy.stats import binomtest

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.result_file import write_result
from dcgan_dist.errors import InputError
from dcgan_dist.explore.exploration_options import ExploreJob
from dcgan_dist.explore.sheets import MARGIN
from dcgan_dist.quality.pictures import PAPER, with_caption
from dcgan_dist.registry.identify import identify


def proportion(k: int, n: int) -> dict[str, Any]:
    """k of n as a share, between the ends of Wilson's 95 % interval."""
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    return {"k": k, "n": n, "share": k / n, "low": float(low), "high": float(high)}


@dataclass(kw_only=True)
class Exploration:
    """Pictures and figures of one job, on their way into its folder."""

    name: str
    """walk, filters, windows, arithmetic or turn."""
    job: ExploreJob
    arguments: list[str]
    """Options of the command line."""
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

    def add(self, file: str, picture: Image.Image, caption: str, *, source_images: bool = False) -> None:
        """Save a picture with a caption below it that also names model and seed.

        Args:
            file: its name in the folder.
            picture: of any size.
            caption: what is seen.
            source_images: it shows real images, which may not be published with the code.
        """
        line = f"{caption} Model {self.identity['uri']}, seed {self.job.seed}."
        sheet = ImageOps.expand(picture.convert("RGB"), MARGIN, PAPER)
        with_caption(sheet, line).save(self.folder / file, format="PNG", optimize=True)
        self.note(file, caption, source_images=source_images, caption_at=sheet.height)

    def note(self, file: str, caption: str, *, source_images: bool = False, caption_at: int | None = None) -> None:
        """Enter a picture that is in the folder already; `caption_at` is the row of pixels where its own caption begins."""
        entry = {"file": file, "caption": caption, "shows_source_images": source_images, "caption_at": caption_at}
        self.pictures.append(entry)

    def finish(self) -> Path:
        """Write result.json, with the command that repeats the job, and return its path."""
        result = {
            "job": f"explore {self.name}",
            "model": self.identity,
            "seed": self.job.seed,
            "command": shlex.join(["python", "jobs/explore.py", self.name, *self.arguments]),
            "paper": self.paper,
            "figures": self.figures,
            "pictures": self.pictures,
        }
        return write_result(self.folder, result)
