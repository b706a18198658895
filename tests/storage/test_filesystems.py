"""A storage behind fsspec that fails is told from one that is empty, and what lay there stays."""

import errno
from collections.abc import Callable
from email.message import Message
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError

import aiohttp
import botocore.exceptions
import google.auth.exceptions
import pytest

from dcgan_dist.storage import filesystems
from dcgan_dist.storage.filesystems import (
    CredentialsError,
    UnreachableError,
    storage_errors,
    with_retries,
)
from dcgan_dist.storage.run_folder import RunFolder
from tests.helpers import faulty_storage


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """The file that names the fault; no file, no fault."""
    return tmp_path / "behind" / "fault"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    faulty_storage.register()
    folder = RunFolder(f"faulty://{tmp_path}/behind/runs", "run")
    folder.write_json("part/result.json", {"x": 1})
    return folder


@pytest.mark.parametrize("request_", ["files", "read_json", "exists", "fetch"])
def test_no_answer_is_an_error_and_not_an_empty_storage(
    folder: RunFolder, control: Path, tmp_path: Path, request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(filesystems.PATIENCE, "0")
    control.write_text("503")
    requests = {
        "files": lambda: folder.files(""),
        "read_json": lambda: folder.read_json("part/result.json"),
        "exists": lambda: folder.exists(f"{folder.path}/part"),
        "fetch": lambda: folder.fetch(f"{folder.path}/part", tmp_path / "copy"),
    }

    with pytest.raises(OSError, match="503 Slow Down") as refusal:
        requests[request_]()

    assert not isinstance(refusal.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("fault", "message"), [("503", "503"), ("full", "No space left"), ("read-only", "Read-only file system")]
)
def test_a_refused_write_leaves_the_old_content(folder: RunFolder, control: Path, fault: str, message: str) -> None:
    control.write_text(fault)
    with pytest.raises(OSError, match=message):
        folder.write_json("part/result.json", {"x": 2})
    control.unlink()

    assert folder.read_json("part/result.json") == {"x": 1}
    assert folder.files("part") == [f"{folder.path}/part/result.json"], "a temporary file was left"


def refusing(times: int, error: OSError) -> Callable[[], str]:
    """A request that is refused so many times."""
    refusals = iter([error] * times)

    def request() -> str:
        for refusal in refusals:
            raise refusal
        return "answer"

    return request


def test_a_storage_that_refuses_a_few_times_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "FIRST_PAUSE_SECONDS", 0.001)
    retries: list[int] = []

    answer = with_retries(refusing(3, OSError(errno.EIO, "refused")), before_retry=lambda: retries.append(1))

    assert answer == "answer"
    assert len(retries) == 3


def test_a_storage_that_goes_on_refusing_is_an_error_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "FIRST_PAUSE_SECONDS", 0.001)

    with pytest.raises(OSError, match="refused"):
        with_retries(refusing(10**6, OSError(errno.ENOSPC, "refused")), patience_minutes=0.001)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no file"), PermissionError("Forbidden"), OSError("Forbidden: b/o")]
)
def test_what_waiting_does_not_mend_is_raised_at_once(error: OSError) -> None:
    with pytest.raises(FileNotFoundError if isinstance(error, FileNotFoundError) else CredentialsError):
        with_retries(refusing(1, error))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (HTTPError("http://host/x", 404, "Not Found", Message(), None), FileNotFoundError),
        (HTTPError("http://host/x", 403, "Forbidden", Message(), None), CredentialsError),
        (HTTPError("http://host/x", 503, "Slow Down", Message(), None), UnreachableError),
        (IncompleteRead(b""), UnreachableError),
        (botocore.exceptions.NoCredentialsError(), CredentialsError),
        (botocore.exceptions.ProfileNotFound(profile="p"), CredentialsError),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://host"), UnreachableError),
        (aiohttp.ServerDisconnectedError(), UnreachableError),
        (google.auth.exceptions.DefaultCredentialsError("none"), CredentialsError),
        (google.auth.exceptions.RefreshError("expired"), CredentialsError),
        (google.auth.exceptions.TransportError("no route"), UnreachableError),
    ],
)
def test_errors_of_every_stores_client_say_what_they_mean(error: Exception, meaning: type[OSError]) -> None:
    with pytest.raises(meaning) as told, storage_errors():
        raise error

    assert type(told.value) is meaning


def test_errors_of_a_local_disk_and_of_the_program_stay_as_they_are() -> None:
    for error in (
        PermissionError(errno.EACCES, "Permission denied", "/x"),
        OSError(errno.EINVAL, "x"),
        ValueError("x"),
    ):
        with pytest.raises(type(error)) as told, storage_errors():
            raise error
        assert told.value is error
