"""A rank's link to the driver: what it reports, and what it learns about leaving."""

import ray
import ray.train
from ray.actor import ActorHandle

from dcgan_dist.data.shards.index_table import BadSample
from dcgan_dist.runs.events import BadSampleReplaced, Heartbeat, RankEvent


class DriverLink:
    """Sends events of rank 0 to the driver, and knows whether the ranks are to leave."""

    def __init__(self, queue: ActorHandle) -> None:
        self.queue = queue
        self.rank = ray.train.get_context().get_world_rank()
        self.stop_wanted = False
        self.preemption = ""
        """Why the nodes are about to be taken away; empty: they are not."""
        self._bad_samples: set[int] = set()

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone reports and writes."""
        return self.rank == 0

    @property
    def leaving(self) -> bool:
        """Whether the ranks are to save a checkpoint and leave."""
        return self.stop_wanted or bool(self.preemption)

    def send(self, event: RankEvent) -> None:
        """Report from rank 0, and learn whether the driver wants the run to stop; other ranks keep silent."""
        if self.first:
            self.stop_wanted = bool(ray.get(self.queue.put.remote(event))) or self.stop_wanted

    def send_from_any_rank(self, event: RankEvent, *, wait: bool = False) -> None:
        """Report what concerns one rank alone; `wait` until it has arrived, where the process is about to end."""
        sent = self.queue.put.remote(event)
        if wait:
            ray.get(sent)

    def report_bad_sample(self, bad: BadSample) -> None:
        """Report a replaced sample once, from any rank; the driver counts those of all ranks."""
        if bad.position not in self._bad_samples:
            self._bad_samples.add(bad.position)
            self.send_from_any_rank(BadSampleReplaced(sample=bad))

    def poll(self, images_seen: int) -> bool:
        """Send a heartbeat; returns whether this rank is to leave.

        Called on all ranks at the same steps, as Ray tells all of them what rank 0 was told.
        """
        self.send(Heartbeat(images_seen=images_seen))
        if (warning := ray.train.get_preemption_info()) and not self.preemption:
            self.preemption = f"nodes of ranks {warning.preempted_ranks} are about to be taken away"
        return self.leaving
