"""A head whose autoscaler starts real raylets on this machine in the place of a cloud's machines."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from tests.helpers.head import ray_head
from tests.helpers.processes import family, raylets, wait_for_rank
from tests.helpers.tracking_server import free_port

# The identity by which Ray's fake provider knows its head.
HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"

# Ray asks for every key once its own file of defaults is not read.
UNUSED: dict[str, Any] = {
    **{key: {} for key in ("auth", "docker", "file_mounts", "metadata")},
    **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")},
    **{f"{who}setup_commands": [] for who in ("", "head_", "worker_")},
    **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
    "file_mounts_sync_continuously": False,
}


@contextmanager
def autoscaling_head(*, most: int, idle_seconds: float, version: int = 2, **settings: str) -> Iterator[dict[str, str]]:
    """A head without CPU and at most so many workers of one CPU each; yields the environment of its clients.

    An idle worker is taken away after some seconds. Version 2 of the autoscaler is what `ray up` and KubeRay start.
    Settings are further environment variables.
    """
    port = free_port()
    config = UNUSED | {
        "cluster_name": "fake",
        "max_workers": most,
        "upscaling_speed": 10,
        "idle_timeout_minutes": idle_seconds / 60,
        "provider": {
            "type": "external",  # named so, the file of defaults that is not in the wheel is not asked for
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": version == 2,
            "head_node_id": HEAD,
            "gcs_address": f"127.0.0.1:{port}",
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0},
            "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": most},
        },
    }
    fake = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1" if version == 2 else "0",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "RAY_NODE_TYPE_NAME": "ray.head.default",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config, file)
        file.flush()
        options = ["--num-cpus", "0", "--autoscaling-config", file.name]
        with ray_head(options, gcs_port=port, **(fake | settings)) as environment:
            yield environment


class Nodes(threading.Thread):
    """Watches how many raylets there are beside the head, as the operating system sees them."""

    def __init__(self, home: str) -> None:
        """Begin to watch."""
        super().__init__(daemon=True)
        self.home = home
        self.began = time.monotonic()
        self.counts: list[tuple[float, int]] = [(0.0, 0)]
        """Seconds since the beginning, and raylets from then on."""
        self._closed = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._closed.wait(0.2):
            if (count := len(workers(self.home))) != self.counts[-1][1]:
                self.counts.append((round(time.monotonic() - self.began, 1), count))
                print("nodes", self.counts[-1], flush=True)

    @property
    def most(self) -> int:
        """Nodes at a time, at most."""
        return max(count for _, count in self.counts)

    def wait_until_gone(self, seconds: float) -> float:
        """Seconds until there is none but the head."""
        began = time.monotonic()
        while self.counts[-1][1]:
            assert time.monotonic() < began + seconds, f"nodes are still there: {self.counts}"
            time.sleep(0.2)
        return time.monotonic() - began

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self.join()


def workers(home: str) -> list[psutil.Process]:
    """Raylets of a head's session but the head's own, which is the oldest."""
    return sorted(raylets(home), key=lambda process: process.create_time())[1:]


def lose_a_worker(home: str) -> None:
    """End, all at once, every process of a node on which a rank runs, as the loss of its machine would."""
    lost = wait_for_rank(lambda: [(raylet, raylet) for raylet in workers(home)])
    for process in family(lost):
        with suppress(psutil.NoSuchProcess):
            process.kill()
