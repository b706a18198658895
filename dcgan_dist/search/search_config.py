"""What a search is asked for."""

from dataclasses import dataclass, field
from typing import Literal

from dcgan_dist.config import SupervisedConfig
from dcgan_dist.errors import require
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.untrusted import require_name


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
        require_name(self.run_name, "run_name")
        require_name(self.register_as, "register_as")
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
