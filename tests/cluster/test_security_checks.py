"""Which clusters a job refuses to run on, and how a user accepts their risks."""

import socket
from pathlib import Path

import psutil
import pytest

from dcgan_dist.cli.command_line import parse
from dcgan_dist.cluster.capacity import can_grow
from dcgan_dist.cluster.join import is_remote
from dcgan_dist.cluster.security_checks import (
    ACCEPTED_RISKS,
    RISKS,
    accepted_risks,
    check_dashboard,
    check_ray_version,
    check_token,
    refuse_risks,
    security_checks,
)
from dcgan_dist.cluster.token import ask
from dcgan_dist.errors import InputError
from jobs.sample import SampleJob
from tests.cluster.conftest import TOKEN
from tests.helpers.autoscaling import autoscaling_head
from tests.helpers.head import run_client
from tests.helpers.listener import listener


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


def test_a_client_that_was_told_an_address_is_not_safe_by_a_token_that_it_does_not_use(home: Path) -> None:
    assert check_token({"HOME": str(home)}).risk == "no-token"
    assert check_token({"HOME": str(home)}, address_named=False).status == "ok"


@pytest.mark.parametrize(
    "url", ["http://me:PASSWORD@127.0.0.1:9", "http://me:PASS@WORD@127.0.0.1:9", "http://me:PASSWORD@host:port"]
)
def test_no_password_of_an_address_is_shown(url: str) -> None:
    shown = str(ask(url)) + str(check_dashboard(url))

    assert "PASS" not in shown
    assert "WORD" not in shown


@pytest.mark.parametrize(
    ("version", "risk"), [("2.55.9", "old-ray"), ("2.9.0", "old-ray"), ("2.56.0", ""), ("3.0.0rc1", "")]
)
def test_rays_with_known_holes_are_told_from_others(version: str, risk: str) -> None:
    assert check_ray_version(version, "here").risk == risk


@pytest.mark.parametrize(
    ("http_status", "status", "risk"),
    [(200, "failed", "open-dashboard"), (401, "ok", ""), (403, "ok", ""), (502, "warning", "")],
)
def test_a_dashboard_that_answers_strangers_is_a_risk(http_status: int, status: str, risk: str) -> None:
    with listener(http_status) as (address, _):
        check = check_dashboard(address)

    assert (check.status, check.risk) == (status, risk)


def test_a_dashboard_that_cannot_be_reached_from_here_is_none() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening

        assert check_dashboard(f"http://127.0.0.1:{unused.getsockname()[1]}").status == "ok"


def test_a_job_refuses_every_risk_that_was_not_accepted_by_its_name(home: Path) -> None:
    with listener(200) as (address, _):
        checks = security_checks("2.50.0", address, {"HOME": str(home), "RAY_AUTH_MODE": "disabled"})

    with pytest.raises(InputError, match=r"old-ray.*no-token.*open-dashboard"):
        refuse_risks(checks, [])
    with pytest.raises(InputError, match=r"`accept_risk=no-token`") as refused:
        refuse_risks(checks, ["old-ray", "open-dashboard"])
    assert "accept_risk=old-ray" not in str(refused.value)
    refuse_risks(checks, ["old-ray", "no-token", "open-dashboard"])


def test_every_job_takes_the_flag_that_accepts_risks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPTED_RISKS, "")
    flags = ["--model", "m", "--accept-risk", "no-token", "--out", "o", "--accept-risk=open-dashboard"]

    job = parse(SampleJob, flags, description="")

    assert (job.model, job.out) == ("m", "o")
    assert accepted_risks() == ["no-token", "open-dashboard"]


@pytest.mark.parametrize("flags", [["--accept-risk"], ["--accept-risk="], ["--accept-risk", "--out", "o"]])
def test_the_flag_without_a_risk_is_refused(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPTED_RISKS, "")

    with pytest.raises(InputError, match="`accept_risk` names no risk: give one of old-ray"):
        parse(SampleJob, ["--model", "m", *flags], description="")


def test_help_names_every_risk_and_what_joins_no_cluster_has_no_such_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for joins in (True, False):
        with pytest.raises(SystemExit):
            parse(SampleJob, ["--help"], description="", joins=joins)
        shown = capsys.readouterr().out
        assert joins == ("accept-risk" in shown) == all(risk in shown for risk in RISKS)
    with pytest.raises(SystemExit) as refused:
        parse(SampleJob, ["--model", "m", "--accept-risk", "no-token"], description="", joins=False)
    assert refused.value.code == 2


def test_a_risk_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"open-dashbord names no risk: did you mean 'open-dashboard'"):
        accepted_risks({ACCEPTED_RISKS: "open-dashbord"})


def test_a_cluster_of_this_machine_alone_is_not_remote() -> None:
    cards = psutil.net_if_addrs().values()
    local = [entry.address for card in cards for entry in card if entry.family == socket.AF_INET]

    assert local
    assert not is_remote([*local, "127.0.0.1", "127.0.0.2"])
    assert is_remote([*local, "192.0.2.1"])  # an address that belongs to nobody, by its standard


def test_joining_a_cluster_of_this_machine_asks_for_no_token(ray_cluster: str) -> None:
    import ray

    from dcgan_dist.cluster.join import join_cluster

    join_cluster()

    assert not is_remote(node["NodeManagerAddress"] for node in ray.nodes())
    assert not can_grow()


JOIN = "from dcgan_dist.cli.command_line import run; from dcgan_dist.cluster.join import join_cluster; run(lambda _: join_cluster() or 0)"


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_head_alone_that_may_get_other_machines_is_refused_without_a_token(version: int) -> None:
    """As clusters are that wait for their first job: no other node is there when the job looks."""
    with autoscaling_head(most=2, idle_seconds=60, version=version, RAY_AUTH_MODE="disabled") as head:
        refused = run_client(head, JOIN)
        assert refused.returncode == 2, refused.stderr
        assert "--accept-risk no-token" in refused.stderr
        assert run_client(head, JOIN, **{ACCEPTED_RISKS: "no-token,open-dashboard"}).returncode == 0
