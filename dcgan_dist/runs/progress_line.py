"""The line that shows how far a run is, how fast, and how D and G stand."""

from dcgan_dist.cli.progress import duration
from dcgan_dist.training.loop import Report


def progress_line(report: Report, *, images: int, images_per_epoch: int, epochs: float) -> str:
    """One calm line: where the run is, how fast, how long still, and how the two players stand.

    Args:
        report: the latest.
        images: real images of the whole run.
        images_per_epoch: of one epoch.
        epochs: of the whole run.
    """
    remaining_seconds = (images - report.images_seen) / max(report.images_per_second, 1e-9)
    m = report.metrics
    parts = [
        f"epoch {report.images_seen / images_per_epoch:.2f}/{epochs:g}",
        f"{report.images_seen:,}/{images:,} images",
        f"{report.images_per_second:,.0f} images/s",
        f"ETA {duration(remaining_seconds)}",
        f"loss D {m.get('loss/d', float('nan')):.3f} G {m.get('loss/g', float('nan')):.3f}",
        f"D(x) {m.get('score/real', float('nan')):.2f} D(G(z)) {m.get('score/fake', float('nan')):.2f}",
        f"data wait {report.data_wait_share:.0%}",
    ]
    return " | ".join(parts)
