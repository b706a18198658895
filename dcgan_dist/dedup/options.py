"""De-duplication before anything starts: what is asked for, and what it will take."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dcgan_dist.cli.command_line import default_shards
from dcgan_dist.cli.uri_flags import require_local
from dcgan_dist.errors import require

Codes = Literal["paper", "recommended"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupOptions:
    """What is searched, how, and what becomes of it."""

    shards: list[str] = field(default_factory=lambda: [default_shards()])
    """Folders of shards, tars or manifests; default $DCGAN_DIST_SHARDS, else ~/dcgan_dist/shards. The train split of each is thinned out; its other splits are protected."""
    out: str
    """Folder of the results; it keeps thumbnails, codes and pairs, so that the same command goes on where it stopped,
    and more shards cost only what is new. On a cluster: a folder that all nodes share."""
    codes: Codes = "recommended"
    """recommended: learnt code and verifier. paper: autoencoder units, equal codes are duplicates."""
    code_bits: Literal[128, 192, 256] = 128
    """Bits of a recommended code. Chance pairs grow with the square of the number of images, so the radius
    shrinks: from about ten million images on take 192 or 256."""
    radius: int | None = None
    """Bits within which two codes are candidates; default 0 for paper; for recommended as many as leave the
    verifier about 10 unrelated candidates per image."""
    protect: list[str] = field(default_factory=list)
    """Data sets that are compared with --shards and never dropped, such as a test set."""
    rewrite: str = ""
    """Also write what stays, as clean shards, to this folder or URI."""
    coder: str = ""
    """Folder of a fitted coder (OUT/coder-* of another run) to use instead of fitting one."""
    cpus: int = 0
    """Tasks at once; 0: as many as the Ray cluster has CPUs; 1: in this process, without Ray."""
    tracking_uri: str = ""
    """MLflow server or database; default $MLFLOW_TRACKING_URI, else the default storage's."""
    dry_run: bool = False
    """Print counts, search method, time and memory, and write nothing."""

    def __post_init__(self) -> None:
        require(bool(self.shards), "`shards` names no data set: give at least one folder of shards")
        require(self.radius is None or self.radius >= 0, f"`radius` {self.radius} must be at least 0")
        require(self.cpus >= 0, f"`cpus` {self.cpus} must be at least 0")
        require_local(self.out, "out", "the thumbnails and codes there are mapped into memory")

    @property
    def folder(self) -> Path:
        """--out as a path."""
        return Path(self.out)

    @property
    def coder_folder(self) -> Path:
        """Where the fitted coder is kept."""
        bits = f"-{self.code_bits}" if self.codes == "recommended" and self.code_bits != 128 else ""
        return self.folder / f"coder-{self.codes}{bits}"
