"""What each exploration is asked for."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class ExploreJob:
    """What every exploration is told."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md)."""
    out: str
    """Folder for the pictures and result.json; it is made."""
    seed: int = 0
    """Seed of all that is drawn."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealImagesJob(ExploreJob):
    """An exploration that looks at real images too."""

    split: str = "train"
    """Split of the shards."""
    crop: Literal["none", "centre"] = "centre"
    """How images larger than the model's are cut."""


NOISE = 0.25
"""Largest change of each component of z around a result."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkJob(RealImagesJob):
    """Rows of images between consecutive random z: a grid and an animation for linear and for spherical interpolation, and
    how smooth they are beside real images."""

    points: int = 9
    """Number of z that the walk passes, drawn from the seed."""
    z: tuple[str, ...] = ()
    """Points chosen by hand instead: N (sample N of --seed), SEED:N, or .npy files of z."""
    steps: int = 10
    """Images per row, both ends included."""
    frames: int = 12
    """Images per row of the animation."""
    label: int = 0
    """Class of all images, for a conditional generator."""
    shards: str = ""
    """Real images for comparison; empty: none."""
    real: int = 1000
    """Number of real images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FiltersJob(RealImagesJob):
    """Guided backpropagation from the strongest responses of the discriminator's maps over real images, beside the same for a
    random discriminator. --model may name the generator of a registered pair: its discriminator is taken."""

    shards: str
    """Real images: folder of shards, manifest, tar or URI."""
    layer: str = ""
    """convolution0...; empty: the last one."""
    maps: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Numbers of the maps."""
    top: int = 9
    """Images per map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowsJob(ExploreJob):
    """Find the maps of the generator that draw windows, from boxes on samples, and draw new samples without them.

    Boxes come from --boxes, or from a detector trained on the known boxes of rooms (--shards). With neither, the samples to
    draw boxes on are written as samples.png, for the annotation page (its place is printed)."""

    boxes: str = ""
    """JSON or COCO file of boxes on samples of --seed."""
    thing: str = "window"
    """Name of the boxes that count; with --shards the sample's .json is asked for <thing>_box."""
    shards: str = ""
    """Drawn rooms (jobs/prepare_rooms.py), whose .json members tell where windows are: trains the detector."""
    n: int = 150
    """Samples that boxes are drawn on or detected in."""
    layers: tuple[str, ...] = ()
    """Layers to try, for lsun64 convolution0 is 512@8 and convolution1 256@16; empty: these two."""
    inverse_regularisation: float = 0.001
    """C of the logistic regression."""
    trials: int = 500
    """New samples on which the detector's rate is measured."""
    rooms: int = 6000
    """Drawn rooms that the detector is trained and tested on, a sixth of them for the test."""
    detector_steps: int = 400
    """Steps of the detector's training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArithmeticJob(ExploreJob):
    """y = mean(A) - mean(B) + mean(C): a 3x3 grid around G(y) and the pixel average beside it.

    Give the exemplars (--a, --b, --c), or faces labelled by folder (--labelled): then samples are proposed as exemplars by
    one classifier, and another one counts how often the result has the attribute, over many equations."""

    a: tuple[str, ...] = ()
    """Exemplars with the attribute: N (sample N of --seed, as jobs/sample.py draws it), SEED:N, or .npy files of z."""
    b: tuple[str, ...] = ()
    """Exemplars without it."""
    c: tuple[str, ...] = ()
    """Exemplars to which it is to be added."""
    name: str = "A - B + C"
    """What the equation says, for titles."""
    labelled: str = ""
    """Folder, tar or zip of grey faces in folders named after --with-folder and --without-folder."""
    with_folder: str = "smile"
    """Folder of the faces with the attribute."""
    without_folder: str = "neutral"
    """Folder of the faces without it."""
    samples: int = 6000
    """Samples among which exemplars are proposed."""
    trials: int = 200
    """Equations with proposed exemplars, no sample in two of them."""
    noise: float = NOISE
    """Largest change of each component of z in the grid around y."""
    label: int = 0
    """Class of all images, for a conditional generator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnJob(RealImagesJob):
    """The mean z of faces looking left minus that of faces looking right, added little by little to random samples.

    Give the exemplars (--left, --right), or --shards of real faces: the main way in which they differ from their mirror
    images is then taken for the turn of the head, exemplars are proposed by one half of them and the result measured by the
    other."""

    left: tuple[str, ...] = ()
    """Exemplars looking to the left of the picture: N (sample N of --seed), SEED:N, or .npy files of z."""
    right: tuple[str, ...] = ()
    """Exemplars looking to the right."""
    shards: str = ""
    """Real faces with the eyes at fixed places."""
    real: int = 3000
    """Number of real faces."""
    samples: int = 2000
    """Samples among which exemplars are proposed."""
    exemplars: int = 4
    """Proposed exemplars on each side."""
    rows: int = 8
    """Random samples that are shown."""
    steps: int = 9
    """Images per row."""
    reach: float = 1.0
    """Share of the axis that is taken off at the left end of a row and added at the right end."""
    trials: int = 200
    """Random samples that are measured."""
    label: int = 0
    """Class of all images, for a conditional generator."""
