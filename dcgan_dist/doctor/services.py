"""Checks of what jobs use: the cluster, shards, the tracking server, and the clocks of the two servers."""

import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.logs import render_flags
from dcgan_dist.cluster.security_checks import Check, check_ray_version
from dcgan_dist.cluster.token import Answer
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME
from dcgan_dist.errors import InputError
from dcgan_dist.storage.uri import is_uri
from dcgan_dist.tracking.address import without_password
from dcgan_dist.tracking.server import check_reachable

MOST_SKEW_SECONDS = 10.0  # after 30 s without a sign of life a run counts as dead


def check_cluster(address: str, answer: Answer) -> Check:
    """Whether the cluster lets us in, and what it runs.

    Args:
        address: of its dashboard.
        answer: to /api/version, asked with our token.
    """
    check = partial(Check, name="cluster")
    if answer.status in (401, 403):
        remedy = "copy the head's token to ~/.ray/auth_token (mode 600) and export RAY_AUTH_MODE=token"
        return check(status="failed", found=f"{address} refuses our token (HTTP {answer.status})", remedy=remedy)
    if answer.status != 200:
        remedy = "start the head, forward the port (ssh -L 8265:127.0.0.1:8265 HEAD), or correct --address"
        found = f"{address} does not answer ({answer.text or f'HTTP {answer.status}'})"
        return check(status="failed", found=found, remedy=remedy)
    try:
        theirs = str(json.loads(answer.text)["ray_version"])
    except (ValueError, KeyError, TypeError):
        return check(status="failed", found=f"{address} is not Ray's", remedy="correct --address")
    if (old := check_ray_version(theirs, "on the cluster")).status != "ok":
        return old
    if theirs != version("ray"):
        remedy = f"pip install ray=={theirs} here: clients and clusters have to be of one version"
        return check(status="warning", found=f"Ray {theirs} there, {version('ray')} here", remedy=remedy)
    return check(status="ok", found=f"Ray {theirs} at {address}")


def check_shards(path: str) -> Check:
    """Whether shards are there at their sizes; writes nothing."""
    check = partial(Check, name="shards")
    if not path:
        return check(status="skipped", found="none named", remedy="--shards PATH")
    try:
        path = absolute(path, "shards")
        if not is_uri(path) and not (Path(path) / MANIFEST_NAME).exists() and Path(path).name != MANIFEST_NAME:
            raise InputError(f"{path} has no {MANIFEST_NAME}: jobs/prepare_*.py make one")
        manifest = load_manifest(path)
    except (InputError, OSError) as error:
        message = render_flags(error)
        found, _, remedy = message.rpartition(": ")
        return check(status="failed", found=found or message, remedy=remedy)
    return check(status="ok", found=f"{manifest.samples:,} samples in {len(manifest.shards)} shards at {path}")


def check_tracking(uri: str) -> Check:
    """Whether runs can be recorded."""
    check = partial(Check, name="tracking")
    if not uri:
        return check(status="skipped", found="none named", remedy="--tracking-uri URI")
    try:
        check_reachable(uri)
    except InputError as error:
        found, _, remedy = render_flags(error).partition("): ")
        return check(status="failed", found=found + ")" * bool(remedy), remedy=remedy or "correct --tracking-uri")
    return check(status="ok", found=without_password(uri))


def check_clock(whose: str, answer: Answer) -> Check:
    """How far a server's clock is from ours; by the second, which is all that HTTP says."""
    check, skew = partial(Check, name=f"clock of {whose}"), answer.skew
    if skew is None:
        return check(status="skipped", found="no server said its time")
    if abs(skew) > MOST_SKEW_SECONDS:
        found = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} ours"
        return check(status="failed", found=found, remedy="let both machines keep time: timedatectl set-ntp true")
    return check(status="ok", found=f"within {max(1, round(abs(skew)))} s of ours")
