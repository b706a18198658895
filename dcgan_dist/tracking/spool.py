"""Metrics, pictures, files, tags and status of a run, kept until the tracking server has them.

The writer never waits for the server: each event is a small file, and a thread sends the events in order. An outage makes
the folder grow; when the server is back, or the run is started again, everything is sent once. A disk that takes no file
costs nothing as long as the process lives: events wait in memory too. Sending twice changes nothing: a metric point keeps
the time at which it was measured, files and status have one place each.
"""

import base64
import json
import logging
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.untrusted import parse_json, read_file

_log = logging.getLogger(__name__)

KINDS = {
    "metrics": {"metrics": dict, "images_seen": int, "time": (int, float)},
    "image": {"name": str, "png": str},
    "dict": {"values": dict, "name": str},
    "tags": {"tags": dict},
    "status": {"status": str},
}
"""What each kind of event holds, and of which type."""
RETRY_SECONDS = 5.0


class Spool:
    """A tracked run that may be written to at any time, whether or not its server answers and its disk has room."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Begin to send, first of all what an earlier start could not.

        Args:
            run: exists on the server.
            folder: for the events of this run alone, on a local disk; made where it does not exist.
        """
        self.run, self.folder = run, folder
        self.failures = 0
        """Attempts to send or to write that failed."""
        self.refusal = ""
        """Why the latest attempt that failed did."""
        self._events: dict[int, dict[str, Any]] = {}
        """What the server does not have yet, by number, in order."""
        self._unwritten: set[int] = set()
        """Numbers of the events that the folder did not take."""
        self._number = 0
        self._changed, self._closed = threading.Condition(threading.RLock()), False
        self._load()
        self._sender = threading.Thread(target=self._send_all, name="tracking", daemon=True)
        self._sender.start()

    def log_metrics(self, metrics: dict[str, float], images_seen: int) -> None:
        """Add one point per metric at step `images_seen`."""
        self._put({"kind": "metrics", "metrics": metrics, "images_seen": images_seen})

    def log_missing_metrics(self, reports: Iterable[tuple[int, dict[str, float]]]) -> None:
        """Add those points that neither the server nor an event that waits for it has; raises what the server answers.

        Args:
            reports: images seen, and metrics by name.
        """
        reports = list(reports)
        with self._changed:
            waiting = [event for event in self._events.values() if event["kind"] == "metrics"]
        points = {(name, event["images_seen"]) for event in waiting for name in event["metrics"]}
        for name in {name for _, metrics in reports for name in metrics}:
            history = self.run.client.get_metric_history(self.run.run_id, name)
            points |= {(name, point.step) for point in history}
        for images_seen, metrics in reports:
            missing = {name: value for name, value in metrics.items() if (name, images_seen) not in points}
            if missing:
                self.log_metrics(missing, images_seen)

    def log_image(self, content: bytes, name: str) -> None:
        """Keep a PNG under folder/file."""
        self._put({"kind": "image", "name": name, "png": base64.b64encode(content).decode()})

    def image_names(self, folder: str) -> set[str]:
        """Names, with the folder, of the pictures that the server or an event has; raises what the server answers."""
        with self._changed:
            waiting = {event["name"] for event in self._events.values() if event["kind"] == "image"}
        return waiting | {file.path for file in self.run.client.list_artifacts(self.run.run_id, folder)}

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
            self._write_unwritten()
        if sent:
            self._sender.join()
            with suppress(OSError):
                self.folder.rmdir()
        return sent

    def drain(self, patience: float) -> bool:
        """Wait, at most so many seconds, until the server has everything; returns whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._events, patience)

    def missing(self) -> str:
        """What the server lacks, why, and whether it is kept, for people."""
        with self._changed:
            written = len(self._events) - len(self._unwritten)
            lost = f"; {len(self._unwritten)} could not be written there and end with this process"
            return (
                f"{without_password(self.run.tracking_uri)} lacks {len(self._events)} events ({self.refusal}): "
                f"{written} are in {self.folder} and are sent next time{lost if self._unwritten else ''}"
            )

    def _put(self, event: dict[str, Any]) -> None:
        with self._changed:
            self._number += 1
            self._events[self._number] = event | {"time": int(time.time() * 1000)}
            self._unwritten.add(self._number)
            self._write_unwritten()
            self._changed.notify_all()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:012}.json"

    def _write_unwritten(self) -> None:
        """Write the events that lie in memory alone, as far as the disk takes them."""
        for number in sorted(self._unwritten):
            path = self._path(number)
            draft = path.with_suffix(".tmp")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                draft.write_text(json.dumps(self._events[number]))
                draft.rename(path)
            except OSError as error:
                with suppress(OSError):
                    draft.unlink()
                self._count_failure(f"{self.folder} cannot be written: {error}")
                return
            self._unwritten.discard(number)

    def _load(self) -> None:
        """Take the events of an earlier start, without how it ended: the run lives again."""
        for leftover in [*self.folder.glob("*.tmp"), *self.folder.glob("*.bin")]:
            with suppress(OSError):
                leftover.unlink()
        for path in sorted(path for path in self.folder.glob("*.json") if path.stem.isdecimal()):
            self._number = int(path.stem)
            try:
                event = parse_json(read_file(path), dict[str, Any])
                for name, kind in KINDS[event["kind"]].items():
                    if not isinstance(event[name], kind):
                        raise TypeError(name)
                if event["kind"] != "status":
                    self._events[self._number] = event
                    continue
            except OSError as error:  # it stays for a later start
                self._count_failure(f"{path} cannot be read: {error}")
                continue
            except (ValueError, KeyError, TypeError):
                _log.warning("tracking: %s is torn: what it held is lost", path)
            with suppress(OSError):
                path.unlink()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._events))
                if self._closed:
                    return
                self._write_unwritten()
                number, event = next(iter(self._events.items()))
            try:
                self._send(event)
            except Exception as error:  # whatever a store raises (network, database, disk): it is tried again
                with self._changed:
                    self._count_failure(str(error))
                    if event["kind"] in ("image", "dict"):  # a server without a place for files: the rest goes first
                        self._events[number] = self._events.pop(number)
                    self._changed.wait_for(lambda: self._closed, RETRY_SECONDS)
                continue
            with self._changed:
                with suppress(OSError):  # a disk that keeps the file: the next start sends it again, without a trace
                    self._path(number).unlink(missing_ok=True)
                del self._events[number]
                self._unwritten.discard(number)
                self._changed.notify_all()

    def _send(self, event: dict[str, Any]) -> None:
        client, run_id = self.run.client, self.run.run_id
        if event["kind"] == "metrics":
            self.run.send_metrics(event["metrics"], event["images_seen"], event["time"])
        elif event["kind"] == "image":
            self._send_image(Path(event["name"]), base64.b64decode(event["png"]))
        elif event["kind"] == "dict":
            client.log_dict(run_id, event["values"], event["name"])
        elif event["kind"] == "tags":
            self.run.send_tags(event["tags"])
        else:
            client.set_terminated(run_id, event["status"], event["time"])

    def _send_image(self, name: Path, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            picture = Path(scratch) / name.name
            picture.write_bytes(content)
            self.run.client.log_artifact(self.run.run_id, str(picture), str(name.parent))

    def _count_failure(self, reason: str) -> None:
        self.failures, self.refusal = self.failures + 1, reason[:300]
        if self.failures == 1:
            _log.warning(
                "tracking: %s did not take what was sent (%s); training goes on, everything is kept in %s and sent later; "
                "this is logged once",
                without_password(self.run.tracking_uri),
                self.refusal,
                self.folder,
            )
