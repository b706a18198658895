"""Joining a Ray cluster."""

import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path

import psutil
import ray

from dcgan_dist.cluster.capacity import can_grow
from dcgan_dist.cluster.ray_internals import own_process_groups
from dcgan_dist.cluster.security_checks import accepted_risks, refuse_risks, security_checks
from dcgan_dist.cluster.token import read_token
from dcgan_dist.errors import InputError

_log = logging.getLogger(__name__)

SECONDS_FOR_HEAD = 20
HTTP2_SETTINGS = b"\x04"
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + HTTP2_SETTINGS + bytes(5)
"""A client's first bytes (RFC 9113, 3.4). A head speaks gRPC, so it answers with its settings."""
LONGEST_TEMPORARY = 107 - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.XXXX")
"""Characters; 107 bytes are the limit for the path of a Unix socket."""
REMEDY = "start the head there, name another, or leave RAY_ADDRESS out for a cluster on this machine"


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
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        _prepare_own_cluster(os.environ)
    else:
        _wait_for_head(address)
    try:
        with own_process_groups():
            context = ray.init(
                address=address,
                log_to_driver=verbose,
                configure_logging=verbose,
                include_dashboard=False if address == "local" else None,
            )
    except (ConnectionError, ValueError) as error:
        raise InputError(f"no Ray cluster at RAY_ADDRESS {address}: {error}; {REMEDY}") from error
    if address == "local":
        return  # nobody else's machine is in it, or can be added by an autoscaler
    if not (is_remote(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]) or can_grow()):
        return
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
    try:
        refuse_risks(security_checks(ray.__version__, dashboard), accepted)
    except InputError:
        ray.shutdown()
        raise


def _prepare_own_cluster(environment: MutableMapping[str, str]) -> None:
    """See that a new cluster can have its sockets, and a token that no file holds where the user has none.

    Raises:
        InputError: the folder of temporary files has too long a name, or cannot be written.
    """
    temporary = Path(environment.get("RAY_TMPDIR") or tempfile.gettempdir())
    shared = temporary / "ray"
    if os.path.lexists(shared) and (shared.is_symlink() or shared.lstat().st_uid != os.getuid()):
        temporary = Path(tempfile.mkdtemp(prefix="ray", dir=temporary))
        environment["RAY_TMPDIR"] = str(temporary)
        _log.info("%s is another user's: Ray's files lie in %s", shared, temporary)
    if len(str(temporary)) > LONGEST_TEMPORARY:
        raise InputError(
            f"the path of the folder for temporary files, {temporary}, is too long for the sockets of Ray: set TMPDIR to one of "
            f"at most {LONGEST_TEMPORARY} characters"
        )
    if not os.access(temporary, os.W_OK):
        raise InputError(f"the folder for temporary files, {temporary}, cannot be written: set TMPDIR to one that can")
    if environment.get("RAY_AUTH_MODE", "token") == "token" and not read_token(environment):
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _wait_for_head(address: str) -> None:
    """Wait until something listens at the address, as Ray itself would wait for ever.

    Raises:
        InputError: it is a URL, or nothing listened there in time.
    """
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"RAY_ADDRESS {address} is the address of a dashboard, which `ray job submit` takes: name the head itself "
            "(host:6379), or leave RAY_ADDRESS out"
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # such as auto, which Ray looks up
    deadline = time.monotonic() + SECONDS_FOR_HEAD
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_FOR_HEAD) as connection:
                connection.sendall(HTTP2_GREETING)
                if connection.recv(9)[3:4] == HTTP2_SETTINGS or os.environ.get("RAY_USE_TLS") == "1":
                    return
            raise InputError(f"what answers at RAY_ADDRESS {address} is not the head of a Ray cluster: {REMEDY}")
        except (OSError, OverflowError) as error:
            if time.monotonic() > deadline:
                raise InputError(f"nothing answers at RAY_ADDRESS {address} ({error}): {REMEDY}") from error
            time.sleep(1)


def is_remote(addresses: Iterable[str]) -> bool:
    """Whether any of the addresses (host names or numbers) is another machine's."""
    local = {entry.address.partition("%")[0] for card in psutil.net_if_addrs().values() for entry in card}
    return any(address not in local and not address.startswith("127.") for address in addresses)


def when_cluster_ends(then: Callable[[], None], *, unless: threading.Event) -> None:
    """Let a thread call something once the cluster's head has refused several connections in a row, unless an event is set before.

    A signal to a whole container ends Ray too. Calls to it then never return, and after a minute Ray
    ends this process with a code of its own.
    """
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")

    def watch() -> None:
        refusals = 0
        while refusals < 3:
            if unless.wait(0.2):
                return
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
                refusals = 0
            except OSError:
                refusals += 1
        then()

    threading.Thread(target=watch, name="cluster", daemon=True).start()
