"""What a job refuses to run on, and who is told apart from whom."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dcgan_dist.config import InputError
from dcgan_dist.launch.cluster import is_remote
from dcgan_dist.launch.command_line import parse
from dcgan_dist.launch.security import (
    ACCEPTED_RISKS,
    RISKS,
    accepted_risks,
    check_dashboard,
    check_ray_version,
    check_token,
    refuse_risks,
    security_checks,
)
from jobs.sample import SampleJob

TOKEN = "b" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a token that only its owner reads."""
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text(TOKEN)
    token.chmod(0o600)
    return tmp_path


@contextmanager
def server(status: int) -> Iterator[str]:
    """Something that answers every GET with one status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()


def test_a_token_that_only_its_owner_reads_is_fine(home: Path) -> None:
    check = check_token({"HOME": str(home), "RAY_AUTH_MODE": "token"})

    assert (check.status, check.risk) == ("ok", "")
    assert TOKEN not in str(check)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_read_is_a_risk_with_its_remedy(home: Path, mode: int) -> None:
    (home / ".ray" / "auth_token").chmod(mode)

    check = check_token({"HOME": str(home), "RAY_AUTH_MODE": "token"})

    assert (check.status, check.risk) == ("failed", "readable-token")
    assert check.remedy == f"chmod 600 {home}/.ray/auth_token"


@pytest.mark.parametrize(
    "environment",
    [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/nowhere/token"}],
)
def test_a_cluster_without_a_token_is_a_risk(environment: dict[str, str], home: Path) -> None:
    assert check_token({"HOME": str(home)} | environment).risk == "no-token"


def test_ray_looks_for_its_token_where_we_do(home: Path, tmp_path: Path) -> None:
    """The environment first, then the file that it names, then the home: as Ray's own loader reads them."""
    from ray._raylet import AuthenticationTokenLoader  # pyright: ignore[reportAttributeAccessIssue]

    from dcgan_dist.launch.security import read_token

    other = tmp_path / "other"
    other.write_text("c" * 64)
    loader = AuthenticationTokenLoader.instance()
    before = {name: os.environ.get(name) for name in ("HOME", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    try:
        for given in (
            {},
            {"RAY_AUTH_TOKEN_PATH": str(other)},
            {"RAY_AUTH_TOKEN_PATH": str(other), "RAY_AUTH_TOKEN": "d" * 64},
        ):
            environment = {"HOME": str(home), "RAY_AUTH_MODE": "token"} | given
            os.environ.update(environment)
            loader.reset_cache()

            assert loader.get_raw_token(ignore_auth_mode=True) == read_token(environment)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        loader.reset_cache()


@pytest.mark.parametrize(
    ("version", "risk"), [("2.55.9", "old-ray"), ("2.9.0", "old-ray"), ("2.56.0", ""), ("3.0.0rc1", "")]
)
def test_rays_with_known_holes_are_told_from_others(version: str, risk: str) -> None:
    assert check_ray_version(version, "here").risk == risk


@pytest.mark.parametrize(
    ("status", "found", "risk"),
    [(200, "failed", "open-dashboard"), (401, "ok", ""), (403, "ok", ""), (502, "warning", "")],
)
def test_a_dashboard_that_answers_strangers_is_a_risk(status: int, found: str, risk: str) -> None:
    with server(status) as address:
        check = check_dashboard(address)

    assert (check.status, check.risk) == (found, risk)


def test_a_dashboard_that_cannot_be_reached_from_here_is_none() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening

        assert check_dashboard(f"http://127.0.0.1:{unused.getsockname()[1]}").status == "ok"


def test_a_job_refuses_every_risk_that_was_not_accepted_by_its_name(home: Path) -> None:
    with server(200) as address:
        checks = security_checks("2.50.0", address, {"HOME": str(home), "RAY_AUTH_MODE": "disabled"})

    with pytest.raises(InputError, match=r"old-ray.*no-token.*open-dashboard"):
        refuse_risks(checks, [])
    with pytest.raises(InputError, match=r"--accept-risk no-token") as refused:
        refuse_risks(checks, ["old-ray", "open-dashboard"])
    assert "--accept-risk old-ray" not in str(refused.value)
    refuse_risks(checks, ["old-ray", "no-token", "open-dashboard"])


def test_every_job_takes_the_flag_that_accepts_risks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPTED_RISKS, "")
    flags = ["--model", "m", "--accept-risk", "no-token", "--out", "o", "--accept-risk=open-dashboard"]

    job = parse(SampleJob, flags, description="")

    assert (job.model, job.out) == ("m", "o")
    assert accepted_risks() == ["no-token", "open-dashboard"]


def test_a_risk_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"open-dashbord names no risk: did you mean 'open-dashboard'"):
        accepted_risks({ACCEPTED_RISKS: "open-dashbord"})


def test_help_names_every_risk(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(SampleJob, ["--help"], description="")

    shown = capsys.readouterr().out
    assert all(risk in shown for risk in RISKS)


def test_a_cluster_of_this_machine_alone_is_not_remote() -> None:
    own = [one.address for cards in psutil.net_if_addrs().values() for one in cards if one.family == socket.AF_INET]

    assert own
    assert not is_remote([*own, "127.0.0.1", "127.0.0.2"])
    assert is_remote([*own, "192.0.2.1"])  # an address that belongs to nobody, by its standard


def test_joining_a_cluster_of_this_machine_asks_for_no_token(ray_cluster: str) -> None:
    import ray

    from dcgan_dist.launch.cluster import join_cluster

    join_cluster()

    assert not is_remote(node["NodeManagerAddress"] for node in ray.nodes())
