"""The collapse alarm: the generator's samples became alike, or the discriminator has won."""

from collections.abc import Mapping

from dcgan_dist.config import AlarmConfig


class CollapseAlarm:
    """Counts consecutive reports that look collapsed; its count is part of a checkpoint.

    Source: known failures of section 7 of the paper (filters oscillating in one mode) and of long public runs
    (discriminator accuracy 1, generator loss climbing).
    """

    def __init__(self, config: AlarmConfig, count: int = 0) -> None:
        self.config, self.count = config, count

    def check(self, metrics: Mapping[str, float]) -> str | None:
        """The message of the alarm, once, when `patience` consecutive reports looked collapsed; else None."""
        reason = self._reason(metrics)
        self.count = self.count + 1 if reason else 0
        if self.count != self.config.patience:
            return None
        return f"collapse alarm: for {self.count} reports {reason}"

    def _reason(self, metrics: Mapping[str, float]) -> str | None:
        diversity, accuracy = metrics.get("diversity/fake_to_real"), metrics.get("accuracy/d")
        if diversity is not None and diversity < self.config.min_diversity:
            return f"samples differed by only {diversity:.3f} of what real images do"
        if accuracy is not None and accuracy >= self.config.max_accuracy:
            return f"the discriminator was right in {accuracy:.2%} of cases"
        return None
