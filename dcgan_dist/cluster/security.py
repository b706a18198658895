"""Whether a cluster obeys strangers: what is looked at, and what a job refuses to run on."""

from __future__ import annotations

import http.client
import os
import re
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

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
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What was looked at, and what to do about it."""

    name: str
    status: Status
    found: str
    remedy: str = ""
    """One line; empty where nothing is to be done."""
    risk: str = ""
    """Key of RISKS; empty: not a matter of security, or no reason to refuse."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a server to a request without a body."""

    status: int
    """0: no answer."""
    text: str
    """The body; where there is no answer, why."""
    skew: float | None
    """Seconds that our clock is ahead of the server's, which are whole; None where it does not say its time."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """None: the answer is the redirect itself, and no header goes to where it points."""


def ask(url: str, token: str = "") -> Answer:
    """A GET that waits 5 seconds at most and never raises.

    Args:
        url: to ask; a user name and a password in it are neither sent nor shown.
        token: sent to that server alone, past every proxy and without following it elsewhere; empty: none.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({}), _NoRedirect] if token else []))
    try:
        request = urllib.request.Request(without_password(url), headers=headers)
        with opener.open(request, timeout=ANSWER_SECONDS) as got:
            return Answer(got.status, got.read(1 << 16).decode(errors="replace"), _skew(got.headers.get("Date")))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, "", _skew(error.headers.get("Date")))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(0, str(getattr(error, "reason", error)) or type(error).__name__, None)


def _skew(date: str | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def version_of(text: str) -> tuple[int, ...]:
    """Leading numbers of a version: 2.60.0rc1 is (2, 60, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def check_ray_version(version: str, where: str) -> Check:
    """Known holes of a Ray."""
    if version_of(version) >= SAFE_RAY:
        return Check(name=f"ray {where}", status="ok", found=version)
    remedy = "install ray 2.56 or newer on every node and client"
    return Check(
        name=f"ray {where}", status="failed", found=f"{version}: {RISKS['old-ray']}", remedy=remedy, risk="old-ray"
    )


def token_source(environment: Mapping[str, str]) -> Path | None:
    """File of the token that Ray would take; None where it comes from the environment itself."""
    if environment.get("RAY_AUTH_TOKEN"):
        return None
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path(environment.get("HOME", "~")).expanduser() / ".ray" / "auth_token"


def read_token(environment: Mapping[str, str]) -> str:
    """The token; empty if there is none."""
    source = token_source(environment)
    try:
        return (source.read_text() if source else environment["RAY_AUTH_TOKEN"]).strip()
    except OSError:
        return ""


def uses_token(environment: Mapping[str, str], *, address_named: bool) -> bool:
    """Whether a Ray of this environment works with a token, as Ray itself decides it.

    Where RAY_AUTH_MODE is not set, a head, and a client that looks for a cluster on this machine, take a token that they find;
    a client that was told an address does not.
    """
    mode = environment.get("RAY_AUTH_MODE")
    return mode.lower() == "token" if mode is not None else not address_named and bool(read_token(environment))


def check_token(environment: Mapping[str, str], *, address_named: bool = True) -> Check:
    """Whether this process speaks with a token, which nobody else on the machine can read.

    Args:
        environment: of the process.
        address_named: the cluster was named, not looked for on this machine.
    """
    source = token_source(environment)
    where = str(source) if source else "RAY_AUTH_TOKEN"
    if not uses_token(environment, address_named=address_named):
        mode = environment.get("RAY_AUTH_MODE") or "not set"
        remedy = "export RAY_AUTH_MODE=token for the head, every node and every client, before they start"
        return Check(
            name="token",
            status="failed",
            found=f"RAY_AUTH_MODE is {mode}: {RISKS['no-token']}",
            remedy=remedy,
            risk="no-token",
        )
    if not read_token(environment):
        remedy = "umask 077; ray get-auth-token --generate, or copy the cluster's token there"
        return Check(name="token", status="failed", found=f"{where} holds none", remedy=remedy, risk="no-token")
    # A container's secrets are files of root that its only user may read: others have no account there.
    if source and (mode := stat.S_IMODE(source.stat().st_mode)) & 0o077 and not _mounted_secret(source):
        found = f"{source} has mode {mode:03o}: {RISKS['readable-token']}"
        return Check(name="token", status="failed", found=found, remedy=f"chmod 600 {source}", risk="readable-token")
    return Check(name="token", status="ok", found=where)


def _mounted_secret(path: Path) -> bool:
    return path.is_relative_to("/run/secrets") or path.is_relative_to("/var/run/secrets")


def check_dashboard(url: str) -> Check:
    """Whether a dashboard answers somebody without a token; its job service runs any command."""
    url = without_password(url)
    answer = ask(f"{url.rstrip('/')}/api/jobs/")
    if answer.status in (401, 403):
        return Check(name="dashboard", status="ok", found=f"{url} asks for a token")
    if answer.status == 0:
        return Check(name="dashboard", status="ok", found=f"{url} does not answer from here ({answer.text})")
    if answer.status >= 300:
        return Check(name="dashboard", status="warning", found=f"{url} answers with HTTP {answer.status}: is it Ray's?")
    remedy = "start the head with RAY_AUTH_MODE=token and --dashboard-host 127.0.0.1"
    found = f"{url} answers without a token: {RISKS['open-dashboard']}"
    return Check(name="dashboard", status="failed", found=found, remedy=remedy, risk="open-dashboard")


def security_checks(ray_version: str, dashboard: str, environment: Mapping[str, str] = os.environ) -> list[Check]:
    """All that decides whether a job runs on a cluster.

    Args:
        ray_version: of this process.
        dashboard: its address; empty: there is none.
        environment: of this process.
    """
    checks = [check_ray_version(ray_version, "here"), check_token(environment)]
    return [*checks, check_dashboard(dashboard)] if dashboard else checks


def refuse_risks(checks: Iterable[Check], accepted: Sequence[str]) -> None:
    """Raise InputError for the checks that failed, unless their risks were accepted by name."""
    refused = [one for one in checks if one.status == "failed" and one.risk and one.risk not in accepted]
    if refused:
        what = "; ".join(f"{one.found} (remedy: {one.remedy}; or `accept_risk={one.risk}`)" for one in refused)
        raise InputError(f"this cluster is not safe to work on: {what}")


def accepted_risks(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Risks that this job's user accepted.

    Raises:
        InputError: a risk that does not exist.
    """
    named = [one.strip() for one in environment.get(ACCEPTED_RISKS, "").split(",") if one.strip()]
    for one in named:
        require(one in RISKS, f"`accept_risk` {one} names no risk{nearest(one, list(RISKS))}")
    return named
