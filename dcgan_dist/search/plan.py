"""A search worked out before anything starts: data, trials, cost; nothing here writes, and no cluster is touched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from dcgan_dist.config import SupervisedConfig, flatten, replace
from dcgan_dist.errors import require
from dcgan_dist.files import content_hash
from dcgan_dist.models.flops import classifier_flops
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.search.few_labels import DIGITS, FewLabels, open_few_labels
from dcgan_dist.search.learner import measurement_epochs, steps_per_epoch
from dcgan_dist.search.space import Space, draw_trial, open_space, to_json

PAPER_ERROR_PERCENT = 28.87  # P table 2: validation error of the supervised network, 64 trials of random search


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """A random search for the supervised network."""

    data: str
    """SVHN's .mat files (a folder or one of them), shards made of them, or the word digits: scikit-learn's, which need no
    download and are not comparable with the paper's figure."""
    protocol: Literal["paper", "small"] = "paper"
    """paper: the complete SVHN, 1000 labels, 10,000 validation images. small: whatever part of it there is."""
    trials: int = 64
    """Configurations to draw; more than before goes on with the same search."""
    repeats: int = 10
    """Fresh draws of labels on which the best configuration is trained again."""
    space: str = ""
    """svhn, digits, or a JSON file of distributions by dotted path; empty: svhn for the paper's protocol, else digits."""
    trial: SupervisedConfig = field(default_factory=lambda: SVHN_SUPERVISED)
    """What the space does not draw."""
    seed: int = 0
    """Seed of the draws of labels and of the trials."""
    measurements: int = 4
    """How often a trial's validation error is measured, spread over its epochs; the last one counts."""
    asha: bool = False
    """Stop the worse half of the trials at every measurement (asynchronous successive halving); the paper's search does not."""
    storage: str = ""
    """Folder or URI where searches are kept; several nodes need a shared one."""
    run_name: str = ""
    """Name of the search; empty: data and hash of config and images. The same name again goes on."""
    tracking_uri: str = ""
    """MLflow tracking server or database."""
    experiment: str = "dcgan_dist"
    """MLflow experiment."""
    register_as: str = "dcgan-svhn-supervised"
    """Name of the best network in the registry; empty: it is not registered."""
    cpus_per_trial: float = 1.0
    """CPU cores of a trial."""
    gpus_per_trial: float = 0.0
    """GPUs of a trial; 0.25 lets four share one."""
    max_concurrent: int = 0
    """Trials at a time; 0: as many as the cluster has room for."""
    checkpoint_seconds: float = 5.0
    """Least time between two checkpoints of a trial."""
    max_failures: int = 1
    """Times that a trial whose process died (a lost node, no memory) goes on from its checkpoint before it counts as failed."""
    heartbeat_seconds: float = 5.0
    """Seconds between two signs of life in the storage."""
    dry_run: bool = False
    """Print config, trials, parameters and time, write nothing, and exit."""
    plan: bool = False
    """The same, with a measured probe: 20 steps of one trial on the cluster."""
    price: str = ""
    """What GPUs cost, for --dry-run and --plan: a row of cli/prices.yaml such as aws/p5.48xlarge, or US dollars per GPU hour."""
    verbose: bool = False
    """Show the logs of Ray and of all trials."""

    def __post_init__(self) -> None:
        for name in ("trials", "measurements"):
            require(getattr(self, name) >= 1, f"`{name}` {getattr(self, name)} must be at least 1")
        for name in ("repeats", "max_concurrent", "max_failures", "checkpoint_seconds", "gpus_per_trial", "seed"):
            require(getattr(self, name) >= 0, f"`{name}` {getattr(self, name)} must not be negative")
        require(self.cpus_per_trial > 0, f"`cpus_per_trial` {self.cpus_per_trial} must be positive")
        require(
            self.gpus_per_trial <= 1 or self.gpus_per_trial == int(self.gpus_per_trial),
            f"`gpus_per_trial` {self.gpus_per_trial} must be a share of one GPU, or whole ones",
        )
        require(
            not self.register_as or self.repeats > 0,
            "`repeats` 0 trains no network to register: add `register_as=''`",
        )
        require(
            not self.asha or self.measurements > 1,
            f"`asha` compares trials in their middle, and `measurements` {self.measurements} gives it none: raise it",
        )


# What may differ between two starts of the same search.
FREE_FIELDS = (
    *(
        "data",
        "storage",
        "run_name",
        "tracking_uri",
        "experiment",
        "register_as",
        "verbose",
        "dry_run",
        "plan",
        "price",
    ),
    *("cpus_per_trial", "gpus_per_trial", "max_concurrent", "checkpoint_seconds", "max_failures", "heartbeat_seconds"),
    *("trials", "repeats", "space"),  # the first two may grow; the space counts by its content
)


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Everything that follows from a config and the data that it names."""

    config: SearchConfig
    """With paths made absolute."""
    data: FewLabels
    space: Space

    @cached_property
    def trials(self) -> list[SupervisedConfig]:
        """Configs of all trials, by number."""
        c = self.config
        return [draw_trial(self.space, c.trial, seed=c.seed, number=n) for n in range(c.trials)]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must not change between two starts of one search."""
        fixed = {k: v for k, v in flatten(self.config).items() if k not in FREE_FIELDS}
        return json.loads(json.dumps(fixed | {"space": to_json(self.space), "data hash": self.data.hash}))

    @property
    def name(self) -> str:
        """The given name, else the data and 8 hex digits of the identity."""
        return self.config.run_name or f"search-{self.data.dataset}-{content_hash(self.identity)[:8]}"

    def repeat(self, best: SupervisedConfig, draw: int) -> SupervisedConfig:
        """Config of the best trial on another draw of labels, with a seed of its own."""
        return replace(best, "seed", self.config.trial.seed + draw)

    def flops(self, config: SupervisedConfig) -> float:
        """Floating point operations of a trial: forward and backward over its epochs, and its measurements."""
        samples = steps_per_epoch(self.data.labels, config) * config.batch_size
        measured = len(measurement_epochs(config, self.config.measurements))
        images = 3 * config.epochs * samples + measured * (samples + self.data.validation_images)
        return images * classifier_flops(config.classifier)


def plan_search(config: SearchConfig) -> SearchPlan:
    """Read the data and draw the trials.

    Raises:
        InputError: the data does not fit its protocol, or the space does not fit the config or the data.
    """
    space = open_space(config.space or ("svhn" if _papers(config) else "digits"), config.trial)
    data = open_few_labels(config.data, protocol=config.protocol, seed=config.seed)
    model = config.trial.classifier.model
    require(
        (model.image_size, model.image_channels, config.trial.classifier.classes) == (32, 3, 10),
        "trial.classifier must take 3 channels of 32 px and tell 10 classes apart, as the data does",
    )
    plan = SearchPlan(config=config, data=data, space=space)
    for trial in plan.trials:
        steps_per_epoch(data.labels, trial)  # refuses a batch that is larger than the labels
    return plan


def _papers(config: SearchConfig) -> bool:
    return config.protocol == "paper" and config.data != DIGITS
