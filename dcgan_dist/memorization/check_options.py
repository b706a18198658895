"""What a memorization check compares."""

from dataclasses import dataclass
from typing import Literal

Crop = Literal["resize", "centre"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemorizationOptions:
    """What is compared, and where the results go."""

    train: tuple[str, ...]
    """The images the generator was trained on: shards (folder, manifest, URI), a folder, tars or zips of images, an array
    (.npy, .npz), or a folder with the official files of CIFAR-10, SVHN or MNIST."""
    held_out: tuple[str, ...] = ()
    """Images of the same source that it has not seen, in the same forms; of data with splits what is not train. Without
    any the verdict is inconclusive."""
    out: str
    """Folder for result.json and report.html."""
    model: str = ""
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md)."""
    samples: tuple[str, ...] = ()
    """Samples of any generator, instead of --model: images in the same forms as --train."""
    n: int = 10_000
    """Number of samples: --model draws so many, of --samples at most so many are taken, spread evenly."""
    seed: int = 0
    """Seed of z, planted copies, cells and permutations."""
    classes: tuple[int, ...] = ()
    """Numbers of the classes that --model draws, which take turns; empty: all. For a generator with classes."""
    crop: Literal["trained", "resize", "centre"] = "trained"
    """How images become squares of the generator's size: "resize" as jobs/prepare_*.py do, "centre", cutting only, as
    training with data.crop=centre does, or "trained": as the model was trained, and "resize" where that is not known."""
    flip: bool = False
    """Whether mirrored images count as copies too; always for a model that is known to be trained with augment.flip."""
    cpus: int = 1
    """Tasks at once that read training images of shards, which all nodes must see; 0: as many as the Ray cluster has CPUs;
    1: this process alone, without Ray."""
    tracking_uri: str = ""
    """MLflow server or database with the model; default $MLFLOW_TRACKING_URI, else the default storage's."""
