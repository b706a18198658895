"""A search worked out before anything starts: data, trials, cost; nothing here writes, and no cluster is touched."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dcgan_dist.config import SupervisedConfig, flatten, replace
from dcgan_dist.errors import require
from dcgan_dist.files import content_hash
from dcgan_dist.models.flops import classifier_flops
from dcgan_dist.search.classifier_training import measurement_epochs, steps_per_epoch
from dcgan_dist.search.few_labels import DIGITS, FewLabels, open_few_labels
from dcgan_dist.search.search_config import SearchConfig
from dcgan_dist.search.trial_draws import Space, draw_trial, open_space, to_json

PAPER_ERROR_PERCENT = 28.87  # P table 2: validation error of the supervised network, 64 trials of random search
FREE_FIELDS = {
    *("data", "storage", "run_name", "tracking_uri", "experiment", "register_as"),
    *("verbose", "dry_run", "plan", "price"),
    *("cpus_per_trial", "gpus_per_trial", "max_concurrent", "checkpoint_seconds", "max_failures", "heartbeat_seconds"),
    *("trials", "repeats", "space"),  # the first two may grow; the space counts by its content
}
"""What may differ between two starts of the same search."""


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

    @cached_property
    def flops(self) -> list[float]:
        """Floating point operations of each trial: forward and backward over its epochs, and its measurements."""
        flops = []
        for trial in self.trials:
            samples = steps_per_epoch(self.data.labels, trial) * trial.batch_size
            measured = len(measurement_epochs(trial, self.config.measurements))
            images = 3 * trial.epochs * samples + measured * (samples + self.data.validation_images)
            flops.append(images * classifier_flops(trial.classifier))
        return flops


def plan_search(config: SearchConfig) -> SearchPlan:
    """Read the data and draw the trials.

    Raises:
        InputError: the data does not fit its protocol, or the space does not fit the config or the data.
    """
    papers = config.protocol == "paper" and config.data != DIGITS
    space = open_space(config.space or ("svhn" if papers else "digits"), config.trial)
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
