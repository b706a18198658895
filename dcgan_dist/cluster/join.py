"""Joining a Ray cluster."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable

import psutil
import ray

from dcgan_dist.cluster.capacity import can_grow
from dcgan_dist.cluster.security import accepted_risks, refuse_risks, security_checks
from dcgan_dist.errors import InputError


def join_cluster(*, verbose: bool = False) -> None:
    """Join the cluster that RAY_ADDRESS names (it is set in a submitted job), else start a new one on this machine.

    Without an address Ray would look for any cluster on this machine, and could join somebody else's.

    Args:
        verbose: show what Ray and its processes log.

    Raises:
        InputError: the cluster has other machines, or can get some, and is not safe against others on the network; risks
            that --accept-risk names are allowed.
    """
    if ray.is_initialized():
        return
    accepted = accepted_risks()
    context = ray.init(
        address=os.environ.get("RAY_ADDRESS") or "local",
        log_to_driver=verbose,
        configure_logging=verbose,
        include_dashboard=False if not os.environ.get("RAY_ADDRESS") else None,
    )
    if not (is_remote(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]) or can_grow()):
        return
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    try:
        refuse_risks(security_checks(ray.__version__, dashboard), accepted)
    except InputError:
        ray.shutdown()
        raise


def is_remote(addresses: Iterable[str]) -> bool:
    """Whether any of the addresses (host names or numbers) is another machine's."""
    local = {entry.address.partition("%")[0] for card in psutil.net_if_addrs().values() for entry in card}
    return any(address not in local and not address.startswith("127.") for address in addresses)


def when_cluster_ends(then: Callable[[], None]) -> None:
    """Let a thread call something once the cluster's head has refused several connections in a row.

    A signal to a whole process group or container ends Ray too. Calls to it then never return, and after a minute Ray
    ends this process with a code of its own.
    """
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")

    def watch() -> None:
        refusals = 0
        while refusals < 3:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
                refusals = 0
            except OSError:
                refusals += 1
            time.sleep(0.2)
        then()

    threading.Thread(target=watch, name="cluster", daemon=True).start()
