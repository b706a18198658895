"""Metrics, pictures, files, tags and status of a run, kept on disk until the tracking server has them.

The writer never waits for the server: each event is a small file, and a thread sends the files in order. An outage makes
the folder grow; when the server is back, or the run is started again, everything is sent once. Sending twice changes
nothing: a metric point keeps the time at which it was measured, files and status have one place each.
"""

import json
import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.runs import TrackedRun

_log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class Spool:
    """A tracked run that may be written to at any time, whether or not its server answers."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Begin to send, first of all what an earlier start could not.

        Args:
            run: exists on the server.
            folder: for the events of this run alone, on a local disk; made where it does not exist.
        """
        self.run, self.folder = run, folder
        self.failures = 0
        """Attempts to send that failed."""
        folder.mkdir(parents=True, exist_ok=True)
        self._drop_status()
        self._number = max((int(path.stem) for path in folder.glob("*.json")), default=0)
        self._changed, self._closed = threading.Condition(), False
        self._sender = threading.Thread(target=self._send_all, name="tracking", daemon=True)
        self._sender.start()

    def log_metrics(self, metrics: dict[str, float], images_seen: int) -> None:
        """Add one point per metric at step `images_seen`."""
        self._put({"kind": "metrics", "metrics": metrics, "images_seen": images_seen})

    def log_image(self, content: bytes, name: str, *, images_seen: int) -> None:
        """Keep a PNG under folder/file, and as a step of the picture series that has the folder's name."""
        self._put({"kind": "image", "name": name, "images_seen": images_seen}, content)

    def log_dict(self, values: dict[str, Any], artifact_file: str) -> None:
        """Keep a dictionary as a JSON file."""
        self._put({"kind": "dict", "values": values, "name": artifact_file})

    def set_tags(self, tags: dict[str, str]) -> None:
        """Set or overwrite tags."""
        self._put({"kind": "tags", "tags": tags})

    def finish(self, status: str, *, patience: float) -> bool:
        """Set the final status and stop sending; returns whether the server has everything."""
        self._put({"kind": "status", "status": status})
        sent = self.drain(patience)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if sent:
            self._sender.join()
            shutil.rmtree(self.folder, ignore_errors=True)
        return sent

    def drain(self, patience: float) -> bool:
        """Wait, at most so many seconds, until the server has everything; returns whether it has."""
        until = time.monotonic() + patience
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting(), max(0.0, until - time.monotonic()))

    def _put(self, event: dict[str, Any], content: bytes | None = None) -> None:
        self._number += 1
        path = self.folder / f"{self._number:012}.json"
        draft = path.with_suffix(".tmp")
        try:
            if content is not None:
                path.with_suffix(".bin").write_bytes(content)
            draft.write_text(json.dumps(event | {"time": int(time.time() * 1000)}))
            draft.rename(path)
        except OSError as error:
            self._count_failure(f"{self.folder} cannot be written: {error}")
        with self._changed:
            self._changed.notify_all()

    def _waiting(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _drop_status(self) -> None:
        """The run lives again: how it ended before does not count."""
        for path in self._waiting():
            if json.loads(path.read_text())["kind"] == "status":
                path.unlink()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting()), RETRY_SECONDS)
                if self._closed:
                    return
            for path in self._waiting():
                try:
                    self._send(json.loads(path.read_text()), path.with_suffix(".bin"))
                except Exception as error:  # whatever a store raises (network, database, disk): it is tried again
                    self._count_failure(str(error))
                    time.sleep(RETRY_SECONDS)
                    break
                path.unlink(missing_ok=True)  # first: an event without its content would stop the queue
                path.with_suffix(".bin").unlink(missing_ok=True)
                with self._changed:
                    self._changed.notify_all()
                    if self._closed:
                        return

    def _send(self, event: dict[str, Any], content: Path) -> None:
        client, run_id = self.run.client, self.run.run_id
        if event["kind"] == "metrics":
            self.run.send_metrics(event["metrics"], event["images_seen"], event["time"])
        elif event["kind"] == "image":
            self._send_image(Path(event["name"]), event["images_seen"], content)
        elif event["kind"] == "dict":
            client.log_dict(run_id, event["values"], event["name"])
        elif event["kind"] == "tags":
            self.run.send_tags(event["tags"])
        else:
            client.set_terminated(run_id, event["status"], event["time"])

    def _send_image(self, name: Path, images_seen: int, content: Path) -> None:
        client, run_id, series = self.run.client, self.run.run_id, str(name.parent)
        if not content.exists():
            return  # lost with the disk; later events must not wait for it
        with tempfile.TemporaryDirectory() as scratch:
            picture = Path(scratch) / name.name
            shutil.copyfile(content, picture)
            client.log_artifact(run_id, str(picture), series)
            # Steps of a series have random names: sent twice, there would be two.
            steps = client.list_artifacts(run_id, "images")
            if not any(f"{series}+step+{images_seen}+" in file.path for file in steps):
                with Image.open(picture) as image:
                    client.log_image(run_id, image, key=series, step=images_seen, synchronous=True)

    def _count_failure(self, reason: str) -> None:
        self.failures += 1
        if self.failures == 1:
            _log.warning(
                "tracking: %s did not take what was sent (%s); training goes on, everything is kept in %s and sent later; "
                "this is logged once",
                without_password(self.run.tracking_uri),
                reason[:300],
                self.folder,
            )
