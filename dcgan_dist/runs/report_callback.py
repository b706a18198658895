"""What a rank reports at every interval: metrics, the progress line, and the collapse alarm."""

import time

from dcgan_dist.cli.progress import duration
from dcgan_dist.runs.driver_link import DriverLink
from dcgan_dist.runs.events import Collapse, Failed, Metrics
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.rank_checkpoints import RankCheckpoints
from dcgan_dist.runs.rank_state import RankState
from dcgan_dist.training.loop import Report
from dcgan_dist.training.schedule import updates

PLAYERS = ("loss/d", "loss/g", "score/real", "score/fake")


class ReportCallback:
    """Called by the training loop on every rank; all keep the log, rank 0 sends it."""

    def __init__(self, plan: RunPlan, state: RankState, link: DriverLink, checkpoints: RankCheckpoints) -> None:
        self.plan, self.state, self.link, self.checkpoints = plan, state, link, checkpoints
        self.began = time.monotonic()

    def __call__(self, report: Report) -> None:
        """Log the metrics, send them, and check the alarm."""
        # What depends on the clock is sent, and is not part of the log that checkpoints keep.
        metrics = {
            **report.metrics,
            **progress_metrics(self.plan, report.images_seen),
            "speed/images_per_second": report.images_per_second,
            "speed/data_wait_share": report.data_wait_share,
            "speed/checkpoint_stall_share": self.checkpoints.stalled_seconds / (time.monotonic() - self.began),
        }
        self.state.log.append({"images_seen": report.images_seen, "metrics": dict(report.metrics)})
        per_epoch = self.plan.shard_plan.steps_per_epoch * self.plan.config.data.batch_size
        line = progress_line(report, self.plan.images, per_epoch, measuring=self.checkpoints.measuring)
        self.link.send(Metrics(images_seen=report.images_seen, values=metrics, progress=line))
        if alarm := self.state.alarm.check(report.metrics):
            self.link.send(Collapse(images_seen=report.images_seen, alarm=alarm))
            if self.plan.config.alarm.stop:
                self.link.send(Failed(reason=f"stopped by the {alarm}"))
                self.link.stop_wanted = True


def progress_line(report: Report, images: int, per_epoch: int, *, measuring: bool = False) -> str:
    """One calm line of at most 100 columns: where the run is, how fast, how long still, and how the two players stand.

    Args:
        report: of the training loop.
        images: of the whole run.
        per_epoch: images.
        measuring: a checkpoint's quality is measured at the same time.
    """
    remaining_seconds = (images - report.images_seen) / max(report.images_per_second, 1e-9)
    loss_d, loss_g, real, fake = (report.metrics.get(name, float("nan")) for name in PLAYERS)
    parts = [
        f"epoch {report.images_seen / per_epoch:.2f}/{images / per_epoch:.4g}",
        f"{report.images_per_second:,.0f} img/s",
        f"ETA {duration(remaining_seconds)}",
        f"loss {loss_d:.2f} {loss_g:.2f}",
        f"D(x) {real:.2f} D(G(z)) {fake:.2f}",
        "measuring" if measuring else f"wait {report.data_wait_share:.0%}",
    ]
    return " | ".join(parts)


def progress_metrics(plan: RunPlan, images_seen: int) -> dict[str, float]:
    """Metrics that follow from the plan and the number of real images consumed."""
    steps = images_seen // plan.config.data.batch_size
    updates_d, updates_g = updates(plan.config.schedule, steps)
    return {
        "progress/epoch": steps / plan.shard_plan.steps_per_epoch,
        "updates/d": float(updates_d),
        "updates/g": float(updates_g),
    }
