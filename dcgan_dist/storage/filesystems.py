"""The one way to any store: its file system, what its errors mean, and how long it is waited for.

Endpoint and credentials come the usual way of each store (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, STORAGE_EMULATOR_HOST,
configuration files, instance roles); none pass through this program, and none may stand in a URI.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import parse_qsl, unquote

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from dcgan_dist.errors import InputError, require

if TYPE_CHECKING:
    import pyarrow.fs

T = TypeVar("T")

_log = logging.getLogger(__name__)

# gcsfs asks for the kind of every bucket otherwise, with another client and other credentials.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

PATIENCE = "DCGAN_DIST_STORE_MINUTES"
"""The variable that says how many minutes a store that does not answer is asked again."""
PATIENCE_MINUTES = 5.0
"""How long that is where the variable is not set."""
DISK_MINUTES = 0.5
"""How long at most a disk that is full or cannot be written is tried again, which mends itself less often."""
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
SILENCE_SECONDS = 30.0
"""After so long without a byte a request to Google Cloud Storage is made again; s3fs waits 15 s."""
LONGEST_REQUEST_SECONDS = 1800.0
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
"""Protocols of stores that show whole objects only and have no folders: a file needs no temporary name."""
CLIENT_PACKAGES = {"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs", "requests", "urllib3"}
"""Packages of the stores' clients, whose exceptions are mostly no OSError."""
STORE_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST")
"""How the names of variables begin that say where a store is and who asks."""
CREDENTIAL_WORDS = ("Credential", "Authentication", "Token", "RefreshError", "ProfileNotFound")
"""Parts of the names of exceptions by which these clients say that they have no credentials that are good."""
S3_PARAMETERS = {"scheme", "endpoint_override", "region"}
"""What may follow the `?` of an s3:// URI in place of the usual variables."""


class CredentialsError(PermissionError):
    """A store refuses the credentials, or there are none."""


class UnreachableError(ConnectionError):
    """A store does not answer, or answers that it cannot serve now."""


def open_filesystem(location: str) -> tuple[AbstractFileSystem, str]:
    """File system of a local path or a URI, and the path in it.

    A URI's path is percent-decoded: `s3://bucket/my%20runs` names the key `my runs`.

    Raises:
        InputError: nothing installed can open it.
    """
    if "://" not in location:  # whose `::` is no chain of file systems
        local = LocalFileSystem(use_listings_cache=False)
        return local, local._strip_protocol(location)
    address, options = _split_parameters(location)
    address = unquote(address)
    if location.startswith(("gs://", "gcs://")):
        options["requests_timeout"] = _gcs_timeout()
    try:
        _forget_clients_of_another_environment(location.partition("://")[0])
        # Other processes write too, so a remembered listing would be old.
        return fsspec.url_to_fs(address, use_listings_cache=False, **options)
    except ImportError as error:
        raise InputError(f"{location} needs a package that is not installed: {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{location} cannot be opened ({error}): name a folder or a URI") from error


_environments: dict[str, list[tuple[str, str]]] = {}
"""The variables that clients of a protocol were made with."""


def _forget_clients_of_another_environment(protocol: str) -> None:
    """fsspec keeps a client for each address, with the endpoint and credentials of the time when it was made."""
    if protocol not in OBJECT_STORES:
        return
    present = sorted((name, value) for name, value in os.environ.items() if name.startswith(STORE_VARIABLES))
    if _environments.setdefault(protocol, present) != present:
        fsspec.get_filesystem_class(protocol).clear_instance_cache()
        _environments[protocol] = present


def as_pyarrow(files: AbstractFileSystem) -> pyarrow.fs.FileSystem:
    """The same file system for Ray, which takes only pyarrow's; it can be pickled."""
    import pyarrow.fs

    if isinstance(files, LocalFileSystem) and files.local_file:
        return pyarrow.fs.LocalFileSystem()
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files))


def is_object_store(files: AbstractFileSystem) -> bool:
    """Whether a file system is a store without folders, whose files appear whole or not at all."""
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    return not OBJECT_STORES.isdisjoint(protocols)


def copy_command(source: str, target: str, *, folder: bool = True) -> str:
    """The shell command that copies a folder, or a file, between a local disk and a store."""
    protocol = next((place.partition("://")[0] for place in (source, target) if "://" in place), "")
    tools = {
        "s3": ("aws s3 sync", "aws s3 cp"),
        **dict.fromkeys(("gs", "gcs"), ("gcloud storage rsync -r", "gcloud storage cp")),
        **dict.fromkeys(("http", "https"), ("wget -r -np", "wget")),
    }
    tool = tools.get(protocol, ("the store's own tool", "the store's own tool"))[0 if folder else 1]
    return f"{tool} {source} {target}"


def _split_parameters(location: str) -> tuple[str, dict[str, Any]]:
    """Cut the known parameters off an s3:// URI; a `?` before anything else belongs to the key."""
    address, _, query = location.partition("?")
    parameters = dict(parse_qsl(query))
    if not location.startswith("s3://") or not parameters or not parameters.keys() <= S3_PARAMETERS:
        return location.replace("?", "%3F"), {}
    options: dict[str, Any] = {}
    if "endpoint_override" in parameters:
        options["endpoint_url"] = f"{parameters.get('scheme', 'https')}://{parameters['endpoint_override']}"
    if "region" in parameters:
        options["client_kwargs"] = {"region_name": parameters["region"]}
    return address, options


def _gcs_timeout() -> Any:
    """What gcsfs, which has no limit of its own, gives to its client: its default of 300 s would end long copies too."""
    try:
        from aiohttp import ClientTimeout
    except ImportError:
        return None  # nor is gcsfs installed, which the message says
    return ClientTimeout(total=LONGEST_REQUEST_SECONDS, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a store's client raises inside the `with` into an OSError that says which of three things it means.

    Raises:
        FileNotFoundError: the file is not there.
        CredentialsError: the store refuses the credentials, or there are none.
        OSError: the store does not answer, or a disk is full and the like.
    """
    try:
        yield
    except (FileNotFoundError, CredentialsError):
        raise
    except Exception as error:
        if (meant := _meaning(error)) is None:
            raise
        raise meant from error


def _meaning(error: Exception) -> OSError | None:
    """The OSError that an exception stands for; None where it is one already, or is no store's."""
    name = type(error).__name__
    packages = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    from_client = not packages.isdisjoint(CLIENT_PACKAGES)
    status = next((str(getattr(error, key)) for key in ("code", "status", "status_code") if hasattr(error, key)), "")
    if isinstance(error, HTTPError) or from_client:
        if status in ("404", "410") or name == "ResourceNotFoundError":
            return FileNotFoundError(f"not there: {error}")
        if status in ("401", "403") or any(word in name for word in CREDENTIAL_WORDS):
            return CredentialsError(f"the store refuses these credentials, or there are none: {error}")
    if isinstance(error, OSError) and _refuses_credentials(error):
        return CredentialsError(f"the store refuses these credentials: {error}")
    if from_client or isinstance(error, (HTTPError, HTTPException, EOFError)):
        return UnreachableError(f"the store does not answer: {error}")
    return None


def _refuses_credentials(error: OSError) -> bool:
    """Whether s3fs or gcsfs has turned a refusal of the store into this error; a local disk's has an error number."""
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    if code in ("InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"):
        return True
    return error.errno is None and (isinstance(error, PermissionError) or str(error).startswith("Forbidden"))


def default_patience() -> float:
    """Minutes for which a store is asked again: $DCGAN_DIST_STORE_MINUTES, else 5.

    Raises:
        InputError: the variable holds no such number.
    """
    text = os.environ.get(PATIENCE) or str(PATIENCE_MINUTES)
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    require(0 <= minutes < math.inf, f"{PATIENCE}={text} is not a time in minutes: give one such as 10")
    return minutes


def with_retries(
    attempt: Callable[[], T],
    *,
    before_retry: Callable[[], object] = lambda: None,
    progress: Callable[[], int] = lambda: 0,
    patience_minutes: float | None = None,
) -> T:
    """Result of `attempt`, which is called until it succeeds; pauses double.

    Args:
        attempt: what is tried.
        before_retry: called before each further attempt, to clear away what the one before left.
        progress: tells how far the attempts have come; patience begins anew whenever it grows.
        patience_minutes: how long a store that refuses is asked again; 0: one attempt; None: `default_patience`.

    Raises:
        FileNotFoundError, CredentialsError: at once, as waiting does not help.
        OSError: the last refusal, once patience is at its end.
    """
    patience = default_patience() if patience_minutes is None else patience_minutes
    began, reached, pause = time.monotonic(), progress(), FIRST_PAUSE_SECONDS
    while True:
        try:
            with storage_errors():
                return attempt()
        except (FileNotFoundError, CredentialsError):
            raise
        except OSError as error:
            if (now := progress()) > reached:
                began, reached, pause = time.monotonic(), now, FIRST_PAUSE_SECONDS
            minutes = min(patience, DISK_MINUTES) if error.errno in DISK_ERRORS else patience
            if time.monotonic() + pause > began + 60 * minutes:
                raise
            _log.debug("asked again after %.1f s: %s", pause, error)
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        before_retry()
