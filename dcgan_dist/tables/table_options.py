"""The flags of the jobs that fill the paper's tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import parse
from dcgan_dist.cli.uri_flags import require_local
from dcgan_dist.errors import require

TRAIN = "train:"
"""Before the name of a preset: it is trained before it is measured."""
C_GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
"""Values of C, the weight of a linear SVM's loss, that the paper's protocols compare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableOptions:
    """How a table of the paper is filled."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/NAME, or a path: a checkpoint, an export, a file of
    PyTorch's DCGAN example, the authors' arrays (docs/models.md), or the folder of a run, of which the checkpoint with the
    least Frechet distance is measured; train:PRESET, which is trained on the training images first; untrained:PRESET, a
    discriminator before training."""
    data: str
    """What jobs/prepare_* read, or the shards that they write."""
    out: str
    """Folder for result.json and all that is kept between calls; the same command again goes on."""
    protocol: Literal["paper", "small"] = "paper"
    """paper: as published; small: fewer images, for a look within minutes, not comparable."""
    epochs: int = 0
    """Passes over the training images with train:PRESET; 0: as many as the preset has."""
    seed: int = 0
    """Decides the training with train:PRESET, the splits, the draws of labels, and a random or untrained discriminator."""
    cpus: int = 1
    """Processes that compute features, by Ray; 1: this one; 0: as many as the cluster has CPUs."""
    use_gpu: bool = False
    """Compute on a GPU."""
    tracking_uri: str = ""
    """MLflow server or database; default $MLFLOW_TRACKING_URI, else the default storage's."""
    experiment: str = "dcgan_dist"
    """MLflow experiment."""
    track: bool = True
    """Keep the result in MLflow too, and register what train:PRESET has trained (its run is recorded in any case)."""
    dry_run: bool = False
    """Check model and data, measure each kind of work for a second, print what would be done and how long it takes here, and
    write nothing."""

    def __post_init__(self) -> None:
        require_local(self.out, "out", "the files of features there are read and written piece by piece")
        require(self.cpus >= 0 and self.seed >= 0, f"`cpus` {self.cpus} and `seed` {self.seed} must not be negative")
        require(self.epochs >= 0, f"`epochs` {self.epochs} must not be negative")
        require(
            not self.epochs or trains_first(self.model),
            f"`epochs` is for a model that is trained first, and `model` {self.model} is there already: name train:PRESET",
        )
        if self.use_gpu:
            import torch  # late: --help loads this module

            require(torch.cuda.is_available(), "`use_gpu`: this machine has no GPU that torch can use; leave it out")


def trains_first(model: str) -> bool:
    """Whether a model is named by a preset that is to be trained."""
    return model.startswith(TRAIN)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeOptions(TableOptions):
    """How a table of linear SVMs on features is filled."""

    dtype: Literal["float16", "float32"] = "float16"
    """Precision of the files of features."""
    controls: bool = True
    """Also the rows that show what training is worth: a random discriminator of the same shape, pixels."""
    c_draws: int
    draws: int

    def __post_init__(self) -> None:
        TableOptions.__post_init__(self)
        require(self.c_draws >= 1 and self.draws >= 1, "`c_draws` and `draws` must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class SvhnTableOptions(ProbeOptions):
    """The SVHN table."""

    c_draws: int = 10
    """Draws of 1000 labels that C is chosen by (paper protocol)."""
    draws: int = 100
    """Further draws that the error is the mean of (paper protocol)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10TableOptions(ProbeOptions):
    """The CIFAR-10 table."""

    c_draws: int = 1
    """Draws of 400 labels per class that C is chosen by."""
    draws: int = 10
    """Further draws that the accuracy with few labels is the mean of."""
    full: bool = True
    """Also learn from all labels: the longest part on a CPU."""
    c_values: tuple[float, ...] = C_GRID
    """Values of C that are compared, rising."""
    kmeans: bool = True
    """Also the row of one layer of K-means."""
    centroids: int = 0
    """How many that row has; 0: 4800, as in the paper (small: 400)."""
    train_images: int = 0
    """First images of the train split that are used; 0: all (small: 6000)."""
    test_images: int = 0
    """First images of the test split that are used; 0: all (small: 4000)."""

    def __post_init__(self) -> None:
        ProbeOptions.__post_init__(self)
        rising = list(self.c_values) == sorted(set(self.c_values))
        require(rising and min(self.c_values, default=0) > 0, "`c_values` must be rising numbers above 0")
        for name in ("centroids", "train_images", "test_images"):
            require(getattr(self, name) >= 0, f"`{name}` {getattr(self, name)} must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class MnistTableOptions(TableOptions):
    """The MNIST table."""

    model: str
    """A conditional generator: models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, a checkpoint or an export; or the
    folder of a run, of whose checkpoints the one is measured whose 10,000 digits have the lowest error on the last 10,000
    training digits, which training held out; or train:mnist28, such a run, which is trained first."""
    samples: tuple[int, ...] = ()
    """Numbers of generated digits to learn from, one column each; default 1000 10000 50000 10000000 (small: 1000 10000)."""
    mode: Literal["batch", "standing"] = "batch"
    """Batch normalisation of the generator: by the statistics of each batch of 128, as the authors sample, or standing ones."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the generator's convolutions and matrix products; bfloat16 is twice as fast where the processor has it."""
    real: bool = True
    """Also the rows learnt from the real training digits: all 60,000 and the first 50,000."""

    def __post_init__(self) -> None:
        TableOptions.__post_init__(self)
        require(min(self.samples, default=1) >= 1, "`samples` must be at least 1")
        require(self.cpus == 1, "`cpus` is for features, and this table has none: leave it out")


def fill_from_flags(options_class: type[TableOptions], argv: Sequence[str], *, description: str) -> int:
    """Fill the table that one of the three classes of options above is for; returns the exit code."""
    options = parse(options_class, argv, description=description)
    from dcgan_dist.tables.cifar10_table import CIFAR10_TABLE
    from dcgan_dist.tables.job import fill_table
    from dcgan_dist.tables.mnist_table import MNIST_TABLE
    from dcgan_dist.tables.svhn_table import SVHN_TABLE

    tables = {SvhnTableOptions: SVHN_TABLE, Cifar10TableOptions: CIFAR10_TABLE, MnistTableOptions: MNIST_TABLE}
    return fill_table(tables[options_class], options)
