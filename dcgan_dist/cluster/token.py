"""The token of a Ray cluster: where it lies, whether it is used, and requests that carry it."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from dcgan_dist.tracking.address import without_password

ANSWER_SECONDS = 5.0


def token_source(environment: Mapping[str, str]) -> Path | None:
    """File from which Ray would read the token; None where the environment itself holds it."""
    if environment.get("RAY_AUTH_TOKEN"):
        return None
    path = environment.get("RAY_AUTH_TOKEN_PATH")
    return Path(path) if path else Path(environment.get("HOME", "~")).expanduser() / ".ray" / "auth_token"


def read_token(environment: Mapping[str, str]) -> str:
    """The cluster's token, from RAY_AUTH_TOKEN or its file; empty if there is none."""
    source = token_source(environment)
    try:
        return (source.read_text() if source else environment["RAY_AUTH_TOKEN"]).strip()
    except OSError:
        return ""


def uses_token(environment: Mapping[str, str], *, address_named: bool) -> bool:
    """Whether Ray uses a token in this environment, decided as Ray itself does.

    Where RAY_AUTH_MODE is not set, a head, and a client that looks for a cluster on this machine, use a token that they
    find; a client that was given an address does not.
    """
    mode = environment.get("RAY_AUTH_MODE")
    return mode.lower() == "token" if mode is not None else not address_named and bool(read_token(environment))


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer to a GET."""

    status: int
    """HTTP status; 0: no answer."""
    text: str
    """The body; where there is no answer, the reason."""
    skew: float | None
    """Seconds that our clock is ahead of the server's, which counts whole ones; None where it does not send its time."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """Return None: the answer is the redirect itself, and no header goes to where it points."""


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
        with opener.open(request, timeout=ANSWER_SECONDS) as response:
            text = response.read(1 << 16).decode(errors="replace")
            return Answer(response.status, text, _skew(response.headers.get("Date")))
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
