"""Whether a cluster is safe to work on: checks for unauthenticated access, and the risks that a job refuses."""

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan_dist.cluster.token import ask, read_token, token_source, uses_token
from dcgan_dist.errors import InputError, nearest, require
from dcgan_dist.tracking.address import without_password

Status = Literal["ok", "warning", "failed", "skipped"]

ACCEPTED_RISKS = "DCGAN_DIST_ACCEPTED_RISKS"
"""Environment variable with the risks that --accept-risk named, comma-separated; processes of a job inherit it."""
RISKS = {
    "old-ray": "Ray before 2.56 runs code that a data set brings along",
    "no-token": "whoever reaches the cluster's ports runs code on it",
    "readable-token": "whoever has an account on this machine runs code on the cluster",
    "open-dashboard": "whoever reaches the dashboard runs code on the cluster, and so does a page in the browser of one who does",
}
SAFE_RAY = (2, 56)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Result of one check, and what to do about it."""

    name: str
    status: Status
    found: str
    """What the check found, in one line."""
    remedy: str = ""
    """One line; empty where nothing is to be done."""
    risk: str = ""
    """Key of RISKS; empty: not a matter of security, or no reason to refuse."""


def _risk(name: str, risk: str, finding: str, remedy: str) -> Check:
    return Check(name=name, status="failed", found=f"{finding}: {RISKS[risk]}", remedy=remedy, risk=risk)


def version_of(text: str) -> tuple[int, ...]:
    """Leading numbers of a version: 2.60.0rc1 is (2, 60, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def check_ray_version(version: str, where: str) -> Check:
    """Whether a version of Ray has known security holes; `where` is "here" or "on the cluster"."""
    if version_of(version) >= SAFE_RAY:
        return Check(name=f"ray {where}", status="ok", found=version)
    return _risk(f"ray {where}", "old-ray", version, "install ray 2.56 or newer on every node and client")


def check_token(environment: Mapping[str, str], *, address_named: bool = True) -> Check:
    """Whether this process uses a token that nobody else on the machine can read.

    Args:
        environment: variables of the process.
        address_named: the address of the cluster was given, not looked for on this machine.
    """
    source = token_source(environment)
    where = str(source) if source else "RAY_AUTH_TOKEN"
    if not uses_token(environment, address_named=address_named):
        mode = environment.get("RAY_AUTH_MODE") or "not set"
        remedy = "export RAY_AUTH_MODE=token for the head, every node and every client, before they start"
        return _risk("token", "no-token", f"RAY_AUTH_MODE is {mode}", remedy)
    if not read_token(environment):
        remedy = "umask 077; ray get-auth-token --generate, or copy the cluster's token there"
        return Check(name="token", status="failed", found=f"{where} holds none", remedy=remedy, risk="no-token")
    # A container's secrets are files of root that its only user may read: others have no account there.
    if source and (mode := stat.S_IMODE(source.stat().st_mode)) & 0o077 and not _mounted_secret(source):
        return _risk("token", "readable-token", f"{source} has mode {mode:03o}", f"chmod 600 {source}")
    return Check(name="token", status="ok", found=where)


def _mounted_secret(path: Path) -> bool:
    return path.is_relative_to("/run/secrets") or path.is_relative_to("/var/run/secrets")


def check_dashboard(url: str) -> Check:
    """Whether a dashboard answers without a token; whoever may use it can run any command on the cluster."""
    url = without_password(url)
    answer = ask(f"{url.rstrip('/')}/api/jobs/")
    if answer.status in (401, 403):
        return Check(name="dashboard", status="ok", found=f"{url} asks for a token")
    if answer.status == 0:
        return Check(name="dashboard", status="ok", found=f"{url} does not answer from here ({answer.text})")
    if answer.status >= 300:
        return Check(name="dashboard", status="warning", found=f"{url} answers with HTTP {answer.status}: is it Ray's?")
    remedy = "start the head with RAY_AUTH_MODE=token and --dashboard-host 127.0.0.1"
    return _risk("dashboard", "open-dashboard", f"{url} answers without a token", remedy)


def security_checks(ray_version: str, dashboard: str, environment: Mapping[str, str] = os.environ) -> list[Check]:
    """The checks that decide whether a job may run on a cluster.

    Args:
        ray_version: version of Ray in this process.
        dashboard: address of the cluster's dashboard; empty: there is none.
        environment: variables of this process.
    """
    checks = [check_ray_version(ray_version, "here"), check_token(environment)]
    return [*checks, check_dashboard(dashboard)] if dashboard else checks


def refuse_risks(checks: Iterable[Check], accepted: Sequence[str]) -> None:
    """Raise InputError for the checks that failed, unless their risks were accepted by name."""
    refused = [check for check in checks if check.status == "failed" and check.risk and check.risk not in accepted]
    if refused:
        reasons = (f"{check.found} (remedy: {check.remedy}; or `accept_risk={check.risk}`)" for check in refused)
        raise InputError(f"this cluster is not safe to work on: {'; '.join(reasons)}")


def accepted_risks(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the risks that the user of this job accepted.

    Raises:
        InputError: a risk that does not exist.
    """
    risks = [risk.strip() for risk in environment.get(ACCEPTED_RISKS, "").split(",") if risk.strip()]
    for risk in risks:
        require(risk in RISKS, f"`accept_risk` {risk} names no risk{nearest(risk, list(RISKS))}")
    return risks
