"""What happened to a run, over all its starts: for people, and to measure what a fault cost."""

import time
from typing import Any

from dcgan_dist.storage.run_folder import RunFolder

JOURNAL = "journal.json"


class Journal:
    """A list of events in the run folder; only the driver writes."""

    def __init__(self, folder: RunFolder) -> None:
        """Go on with what earlier starts wrote."""
        self.folder = folder
        self.events: list[dict[str, Any]] = (folder.read_json(JOURNAL) or {}).get("events", [])

    def add(self, event: str, **more: Any) -> None:
        """Add an event with the time, in seconds since 1970."""
        self.events.append({"time": round(time.time(), 3), "event": event} | more)
        try:
            self.folder.write_json(JOURNAL, {"events": self.events})
        except OSError:
            pass  # a storage that is away shows in the checkpoints; the next event writes this one too

    def count(self, event: str) -> int:
        """How often something happened."""
        return sum(entry["event"] == event for entry in self.events)
