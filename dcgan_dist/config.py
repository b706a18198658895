"""Every setting of a run, as frozen dataclasses.

One dotted path has three uses: `optimizer_d.lr` is the command line flag, the search key and the name under which the
tracking server shows it.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, TypeVar, get_type_hints

from dcgan_dist.errors import InputError, nearest, require
from dcgan_dist.untrusted import parse_json, refusing, require_name

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Shape of a generator and its discriminator.

    Both are stacks of convolutions described by two tuples of equal length: how many maps, and which stride. The first
    entry of the generator's maps is the projection of z, its last convolution makes the image.
    """

    image_size: int
    """Pixels per side."""
    image_channels: int = 3
    """3 for colour, 1 for grey."""
    latent_dim: int = 100
    """Length of z."""
    latent_distribution: Literal["uniform", "normal"] = "uniform"
    """Prior of z: uniform(-1, 1) or N(0, 1)."""
    generator_width: int = 128
    """Maps of the generator's last hidden layer (ngf)."""
    generator_maps: tuple[int, ...] = (8, 4, 2, 1)
    """Maps of the projection and of each hidden convolution, in multiples of generator_width."""
    generator_strides: tuple[int, ...] = (2, 2, 2, 2)
    """Upsampling of each transposed convolution; the last one makes the image."""
    generator_dense: tuple[int, ...] = ()
    """Units of hidden dense layers before the projection."""
    discriminator_width: int = 128
    """Maps of the discriminator's first layer (ndf)."""
    discriminator_maps: tuple[int, ...] = (1, 2, 4, 8)
    """Maps of each convolution, in multiples of discriminator_width."""
    discriminator_strides: tuple[int, ...] = (2, 2, 2, 2)
    """Downsampling of each convolution."""
    discriminator_dense: tuple[int, ...] = ()
    """Units of hidden dense layers between the last map and the logit."""
    kernel_size: int = 5
    """Side of every convolution kernel."""
    norm_eps: float = 1e-8
    """Added to the variance in batch normalisation."""
    norm_affine: bool = True
    """Batch normalisation with gain and bias."""
    projection_norm: Literal["unit", "map"] = "unit"
    """Normalise the projection of z per unit (before the reshape, as the authors do) or per map."""
    output: Literal["tanh", "sigmoid"] = "tanh"
    """Range of the images: [-1, 1] or [0, 1]."""
    classes: int = 0
    """Labels are concatenated as one-hot (or constant maps) to every layer of both networks; 0: unconditional."""
    init_std: float = 0.02
    """Standard deviation of every initial weight (mean 0) and of the initial gains (mean 1)."""

    def __post_init__(self) -> None:
        for network in ("generator", "discriminator"):
            maps, strides = getattr(self, f"{network}_maps"), getattr(self, f"{network}_strides")
            require(
                len(maps) == len(strides) > 0,
                f"model.{network}_maps has {len(maps)} entries and model.{network}_strides {len(strides)}: give one each "
                "per convolution",
            )
            require(
                self.image_size % prod(strides) == 0,
                f"model.image_size {self.image_size} is not a multiple of {prod(strides)}, the product of "
                f"model.{network}_strides: change one of them",
            )
            require(
                all(n >= 1 for n in (*maps, *strides, getattr(self, f"{network}_width"))),
                f"model.{network}_width, _maps and _strides must be at least 1",
            )
        require(self.kernel_size >= 3, f"model.kernel_size {self.kernel_size} must be at least 3")
        require(
            all(s <= 2 for s in (*self.generator_strides, *self.discriminator_strides)),
            "model.*_strides must be 1 or 2",
        )
        require(
            self.kernel_size % 2 == 1 or set(self.generator_strides + self.discriminator_strides) == {2},
            f"model.kernel_size {self.kernel_size} is even: every stride must then be 2",
        )
        require(self.latent_dim >= 1, f"model.latent_dim {self.latent_dim} must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Adam of one network."""

    lr: float = 2e-4
    """Learning rate."""
    beta1: float = 0.5
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""
    eps: float = 1e-8
    """Added to the denominator."""
    weight_decay: float = 1e-5
    """L2 on all parameters, added to the gradient (coupled)."""
    constant_epochs: int = 0
    """Epochs at the full rate before a linear decay; only used where decay_epochs is set."""
    decay_epochs: int = 0
    """After constant_epochs the rate falls by lr / decay_epochs per epoch; 0: constant for ever."""
    batch_scaling: Literal["none", "square_root", "linear"] = "none"
    """lr is meant for batches of 128; larger ones get it times the (square root of the) ratio."""
    warm_up_steps: int = 0
    """Steps over which the rate rises linearly to its full value; large batches need some."""

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optimizer lr {self.lr} must be positive")
        require(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "optimizer betas must lie in [0, 1)")
        require(self.eps > 0, f"optimizer eps {self.eps} must be positive")
        require(self.weight_decay >= 0, f"optimizer weight_decay {self.weight_decay} must not be negative")
        require(
            min(self.constant_epochs, self.decay_epochs, self.warm_up_steps) >= 0,
            "optimizer constant_epochs, decay_epochs and warm_up_steps must not be negative",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """How a step is computed. Results agree within rounding: docs/performance.md."""

    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """Arithmetic of convolutions and matrix products; parameters, batch statistics, tanh and losses stay float32. auto:
    bfloat16 on GPUs, and on CPUs if all that the cluster has are fast at it (AMX, AVX512-BF16), else float32; decided at the
    first start of a run and kept. tf32 is float32 on a CPU."""
    channels_last: bool = True
    """Keep images and kernels with the channel as the fastest axis."""
    fused_optimizer: bool = True
    """One kernel for all of Adam."""
    cuda_graph: bool = False
    """Replay the whole step as one CUDA graph; no effect on a CPU. Off until its tests have run on a GPU."""
    compile: bool = False
    """Compile both networks with torch.compile, which computes normalisation and activation in one pass; minutes at the
    start."""
    joint_batch: bool = False
    """Show D real and fake images as one batch of twice the rows, normalised apart."""
    unshuffle_images: bool = False
    """Compute the layers that touch images between four times the channels, at half the side; no effect on stride 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """How shards become batches. Together with the seed this fixes which image is in which batch."""

    batch_size: int = 128
    """Rows of the global batch."""
    streams: int = 0
    """Canonical streams C of the shard plan; 0: the largest power of two up to 64 that divides batch_size."""
    window: int = 4096
    """Samples that are shuffled together inside a stream."""
    crop: Literal["none", "centre"] = "none"
    """centre: take the middle of larger shards; none: shards must have the model's image_size."""
    loader_workers: int = 0
    """Processes that read and decode for each rank; 0: a thread of the rank itself."""
    prefetch: int = 2
    """Batches read ahead by each rank."""
    max_bad_fraction: float = 1e-3
    """Share of unreadable samples above which the run stops."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 2, f"`data.batch_size` {self.batch_size} must be at least 2")
        require(self.window >= 1, f"`data.window` {self.window} must be at least 1")
        for name in ("streams", "loader_workers"):
            require(getattr(self, name) >= 0, f"`data.{name}` {getattr(self, name)} must not be negative")
        require(self.prefetch >= 1, f"`data.prefetch` {self.prefetch} must be at least 1")
        require(0 <= self.max_bad_fraction <= 1, f"`data.max_bad_fraction` {self.max_bad_fraction} must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityConfig:
    """Signals of sample quality that need no labels and no downloaded weights."""

    samples: int = 10_000
    """Generated images per measurement, which is made with every checkpoint; 0: no measurement."""
    share: float = 0.05
    """Most of the run's arithmetic that measuring may cost: a short run takes fewer samples; 1: as many as asked for."""
    held_out: int = 10_000
    """Real images compared with them, at most; from the split `val` where there is one, else from `train`."""
    inception_weights: str = ""
    """File of Inception weights for FID, KID, precision and recall; empty: not measured."""

    def __post_init__(self) -> None:
        require(self.samples == 0 or self.samples >= 2, f"`quality.samples` {self.samples} must be 0 or at least 2")
        require(0 < self.share <= 1, f"`quality.share` {self.share} must lie in (0, 1]")
        require(self.held_out >= 2, f"`quality.held_out` {self.held_out} must be at least 2")


AUGMENTATIONS = ("colour", "translation", "cutout")


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Augmentation against overfitting on small data sets; off in the paper."""

    flip: bool = False
    """Mirror half of the real images left to right."""
    policy: tuple[Literal["colour", "translation", "cutout"], ...] = ()
    """Differentiable changes of all images that D sees, real and fake."""

    def __post_init__(self) -> None:
        require(len({*self.policy}) == len(self.policy), f"`augment.policy` {self.policy} names a change twice")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmConfig:
    """When a run counts as collapsed."""

    min_diversity: float = 0.1
    """Alarm where samples differ among themselves by less than this share of what real images do."""
    max_accuracy: float = 0.999
    """Alarm where the discriminator tells real from fake at least this often."""
    patience: int = 20
    """Consecutive reports below (above) before the alarm is raised."""
    stop: bool = False
    """Stop the run at the alarm instead of only saying so."""

    def __post_init__(self) -> None:
        require(self.patience >= 1, f"`alarm.patience` {self.patience} must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierConfig:
    """Shape of a supervised network: a model's discriminator with one output per class in the place of its logit."""

    model: ModelConfig
    """Its images, norm and discriminator_* fields; those of the generator are not used."""
    classes: int = 10
    """Outputs."""

    def __post_init__(self) -> None:
        require(self.classes >= 2, f"classifier.classes {self.classes} must be at least 2")
        require(
            self.model.classes == 0,
            f"model.classes {self.model.classes} would tell the network the label it is asked for: it must be 0",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisedConfig:
    """Training of one classifier on few labels: a trial of the search."""

    classifier: ClassifierConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 64
    """Rows of a batch."""
    dropout: float = 0.0
    """Share of the flattened last map that is dropped in training, anew for every image."""
    epochs: int = 100
    """Passes over the labelled images."""
    seed: int = 0
    """Seed of initialisation, order and dropout."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 2, f"batch_size {self.batch_size} must be at least 2")
        require(0 <= self.dropout < 1, f"dropout {self.dropout} must lie in [0, 1)")
        require(self.epochs >= 1, f"epochs {self.epochs} must be at least 1")
        require(self.seed >= 0, f"seed {self.seed} must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A training run."""

    preset: str
    """Name of the preset that the other fields start from."""
    dataset: str
    """What the images are; the registered models are called dcgan-<dataset>-generator and -discriminator."""
    model: ModelConfig
    optimizer_g: OptimizerConfig = field(default_factory=OptimizerConfig)
    optimizer_d: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    alarm: AlarmConfig = field(default_factory=AlarmConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    r1: float = 0.0
    """Weight of D's squared gradient at real images in its loss (Mescheder et al. 2018); 0: none, as in the paper."""
    schedule: Literal["both", "alternate"] = "both"
    """both: D then G on every minibatch; alternate: G on one minibatch, D on the next."""
    norm_group: Literal["rank", "synchronised"] = "rank"
    """Batch normalisation over the rows of one rank, or over the global batch."""
    ema_half_life_images: int = 0
    """Half life, in images, of the averaged generator that is then exported; 0: none (the paper has none)."""
    seed: int = 0
    """Seed of initialisation, data order and z."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of parameters and arithmetic."""
    deterministic: bool = False
    """Only deterministic kernels, so that a GPU run repeats bit by bit."""
    epochs: int = 1
    """Passes over the data; not used where images is set."""
    images: int = 0
    """Real images to train on, rounded up to whole batches; 0: epochs decides."""
    checkpoint_every_images: int = 0
    """Real images between two checkpoints, each with a sample grid; 0: about 10 in a run. Epochs 1, 5 and the last always
    have one."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept; the best by Frechet distance is kept too."""
    keep_every_images: int = 0
    """Keep also the first checkpoint after every so many real images; 0: none for that reason."""
    snapshot_batches: int = 100
    """Batches over which standing batch normalisation statistics are measured before export."""
    shards: str = ""
    """Folder or manifest of the training shards."""
    keep_list: str = ""
    """Keys to train on, as de-duplication writes it; empty: all."""
    num_workers: str = "1"
    """Ranks: N, or MIN:MAX for an elastic run."""
    use_gpu: bool = False
    """One GPU per rank."""
    storage: str = ""
    """Folder or URI where runs are kept; several nodes need a shared one."""
    run_name: str = ""
    """Name of the run; empty: preset and hash of config and data. The same name again resumes."""
    tracking_uri: str = ""
    """MLflow tracking server or database."""
    experiment: str = "dcgan_dist"
    """MLflow experiment."""
    register: bool = True
    """Register generator and discriminator at the end."""
    report_every_images: int = 0
    """Real images between two progress lines; 0: about 200 lines in a run, at most one every 10 steps."""
    max_failures: int = 3
    """Restarts after failed ranks before the run gives up; nodes preempted after a warning are not counted."""
    resize_seconds: float = 60.0
    """An elastic run looks so often whether the cluster has room for more ranks."""
    hang_seconds: float = 600.0
    """A rank that takes no step for so long counts as hung: stacks are saved and the ranks restarted. Must be more than a step
    and the writing of a checkpoint take."""
    on_non_finite: Literal["stop", "rollback"] = "stop"
    """When a loss is NaN or infinite: stop, or go back to the last checkpoint and on with fresh draws of data and z."""
    max_rollbacks: int = 2
    """How often a run may go back before it stops after all."""
    placement_timeout: float = 600.0
    """Seconds to wait for ranks that the cluster cannot place yet."""
    heartbeat_seconds: float = 5.0
    """Seconds between two signs of life in the storage."""
    dry_run: bool = False
    """Print config, shard plan, parameters, memory, time and money, write nothing, and exit."""
    plan: bool = False
    """The same, with a measured probe: 20 steps of one rank on the cluster."""
    price: str = ""
    """What GPUs cost, for dry_run and plan: a row of cli/prices.yaml such as aws/p5.48xlarge, or US dollars per GPU hour."""
    verbose: bool = False
    """Show the logs of all ranks and of Ray too, not only the progress of the run."""

    def __post_init__(self) -> None:
        require_name(self.run_name, "run_name")
        require_name(self.dataset, "dataset")
        low, high = self.workers
        batch = self.data.batch_size
        require(
            batch >= high,
            f"`data.batch_size` {batch} gives fewer rows than ranks (`num_workers` {self.num_workers}): "
            "raise the batch or lower the ranks",
        )
        require(
            low == high or self.norm_group == "synchronised",
            f"`num_workers` {self.num_workers} changes the rows per rank, on which results depend with `norm_group=rank`: "
            "add `norm_group=synchronised`",
        )
        require(self.epochs > 0, f"`epochs` {self.epochs} must be at least 1")
        require(self.r1 >= 0, f"`r1` {self.r1} must not be negative")
        require(self.keep_checkpoints >= 1, f"`keep_checkpoints` {self.keep_checkpoints} must be at least 1")
        for name in ("hang_seconds", "resize_seconds"):
            require(getattr(self, name) > 0, f"`{name}` {getattr(self, name)} must be positive")
        require(
            self.dtype == "float32" or self.engine.precision in ("auto", "float32"),
            f"`engine.precision` {self.engine.precision} is less than `dtype` {self.dtype}: leave one of them out",
        )
        for name in (
            "images",
            "checkpoint_every_images",
            "report_every_images",
            "ema_half_life_images",
            "max_failures",
        ):
            require(getattr(self, name) >= 0, f"`{name}` {getattr(self, name)} must not be negative")
        require(self.snapshot_batches >= 1, f"`snapshot_batches` {self.snapshot_batches} must be at least 1")
        require(
            0 < self.heartbeat_seconds <= 10,
            f"`heartbeat_seconds` {self.heartbeat_seconds} must be at most 10: after 30 s without one a run counts as dead",
        )
        require(
            self.quality.samples == 0 or self.model.image_size >= 28,
            f"quality is measured on images of at least 28 px and `model.image_size` is {self.model.image_size}: "
            "add `quality.samples=0`",
        )
        require(self.seed >= 0, f"`seed` {self.seed} must not be negative")

    @property
    def workers(self) -> tuple[int, int]:
        """Least and most ranks."""
        try:
            numbers = [int(number) for number in self.num_workers.split(":")]
        except ValueError:
            numbers = []
        if not (1 <= len(numbers) <= 2 and 1 <= numbers[0] <= numbers[-1]):
            raise InputError(f"`num_workers` {self.num_workers!r} is neither N nor MIN:MAX, for example 2 or 2:8")
        return numbers[0], numbers[-1]


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> value for every leaf of a nested dataclass, in order of declaration."""
    leaves: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            leaves |= flatten(value, f"{prefix}{f.name}.")
        else:
            leaves[prefix + f.name] = value
    return leaves


def from_dict(config_class: type[T], values: dict[str, Any]) -> T:
    """Rebuild a config from `dataclasses.asdict` output that went through JSON (tuples come back as lists).

    Raises:
        InputError: a name that the config does not have, or a value of another type or range.
    """
    _refuse_unknown(config_class, values)
    with refusing(f"this is no {config_class.__name__}", "take the file of another run, or one of this version"):
        return parse_json(json.dumps(values), config_class)


def _refuse_unknown(config_class: type, values: dict[str, Any]) -> None:
    """Raise InputError for a name that a config or one inside it does not have; the nearest one is offered."""
    hints = get_type_hints(config_class)
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"{config_class.__name__} has no field {name!r}{nearest(name, list(hints))}")
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, dict):
            _refuse_unknown(hints[name], value)  # pyright: ignore[reportArgumentType]


def replace(config: T, path: str, value: Any) -> T:
    """Copy of a config with the leaf at a dotted path changed.

    Raises:
        InputError: no such path; the nearest one is offered.
    """
    known = flatten(config)
    if path not in known:
        raise InputError(f"no field {path!r}{nearest(path, list(known))}")
    head, _, tail = path.partition(".")
    inner = replace(getattr(config, head), tail, value) if tail else value
    return dataclasses.replace(config, **{head: inner})  # pyright: ignore[reportArgumentType, reportCallIssue]
