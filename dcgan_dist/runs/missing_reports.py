"""Reports and grids that the storage has and the tracked run lacks, as after a kill of the driver."""

import logging
from pathlib import Path

from dcgan_dist.runs.async_checkpointer import GRIDS, grid_name
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.plan import RunPlan
from dcgan_dist.runs.report_callback import progress_metrics
from dcgan_dist.tracking.spool import Spool

_log = logging.getLogger(__name__)


def log_missing_reports(plan: RunPlan, store: CheckpointStore, spool: Spool) -> None:
    """Write to the tracked run what the log of the newest whole checkpoint and the folder of grids have and it lacks.

    Where storage or server do not answer, nothing is written, and a later call may.
    """
    try:
        if newest := store.newest_whole():
            lines = [(line["images_seen"], line["metrics"]) for line in store.log(newest)]
            spool.log_missing_metrics((seen, metrics | progress_metrics(plan, seen)) for seen, metrics in lines)
        grids = [int(Path(path).stem) for path in reversed(store.folder.files(GRIDS)) if path.endswith(".png")]
        tracked = spool.image_names(GRIDS) if grids else set()
        for images_seen in grids:
            if (name := grid_name(images_seen)) not in tracked:
                spool.log_image(store.folder.read_bytes(name), name, images_seen=images_seen)
    except Exception as error:  # whatever a storage or a tracking store raises: training goes on
        _log.warning("what tracking lacks of earlier reports is not known (%s); the next start looks again", error)
