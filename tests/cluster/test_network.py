"""A cluster as a team has it: machines with addresses of their own, a token, a tracking server with accounts.

Nobody gets in without the token or a password, ranks on two machines train one run that a third machine submits, and no
secret shows in anything that was written meanwhile.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import result_of
from tests.helpers.head import give_token, ray_cli, ray_head, ray_node, status, submit
from tests.helpers.jobs import JOBS
from tests.helpers.leaks import files, forms, leaks, rows
from tests.helpers.network import Network, network
from tests.helpers.postgres import postgres
from tests.helpers.secured_tracking import ADMIN, call, secured_server
from tests.helpers.tracking_server import TrackingServer
from tests.helpers.training_job import flags

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

TRAINER, READER, FILED = "trainer", "reader", "filed"
ONE_CPU = ("--num-cpus", "1")
TRAIN = (sys.executable, str(JOBS / "train_lsun.py"))


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything that runs, and the secrets that it was given."""

    machines: Network
    database: str
    tracking: TrackingServer
    head: dict[str, str]
    """Environment of the nodes, with all secrets."""
    laptop: dict[str, str]
    """Environment of the machine that submits: the token only."""
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = ("ray token", "tracking password", "password in a file", "admin password", "another's password")
    passwords = {name: secrets.token_hex(32) for name in names}
    environment = {name: secrets.token_hex(20) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    environment |= {"AWS_SESSION_TOKEN": secrets.token_hex(40), "MLFLOW_TRACKING_TOKEN": secrets.token_hex(20)}
    passwords |= environment
    environment |= {"MLFLOW_TRACKING_USERNAME": TRAINER, "MLFLOW_TRACKING_PASSWORD": passwords["tracking password"]}
    accounts = {TRAINER: passwords["tracking password"], READER: passwords["another's password"]}
    accounts[FILED] = passwords["password in a file"]
    environment |= {"PYTHONPATH": str(JOBS.parent), "OMP_NUM_THREADS": "1"}

    with ExitStack() as stack:
        machines = stack.enter_context(network("head", "worker", "tracking", "laptop"))
        database = stack.enter_context(postgres())
        with machines.on("tracking") as address:
            folder = tmp_path_factory.mktemp("server")
            server = secured_server(folder, database, address, accounts, passwords["admin password"])
            tracking = stack.enter_context(server)
        with machines.on("head") as address:
            head = stack.enter_context(
                ray_head(ONE_CPU, host=address, gcs_port=0, token=passwords["ray token"], **environment)
            )
        keep_password(Path(head["HOME"]), FILED, passwords["password in a file"])
        with machines.on("worker") as address:
            stack.enter_context(ray_node(head, address, *ONE_CPU))
        laptop = {name: value for name, value in head.items() if value not in passwords.values()}
        laptop["HOME"] = str(tmp_path_factory.mktemp("laptop"))
        give_token(Path(laptop["HOME"]), passwords["ray token"])
        yield Site(machines=machines, database=database, tracking=tracking, head=head, laptop=laptop, secrets=passwords)


def keep_password(home: Path, user: str, password: str) -> None:
    """As MLflow looks for it where the environment names none."""
    file = home / ".mlflow" / "credentials"
    file.parent.mkdir()
    file.write_text(f"[mlflow]\nmlflow_tracking_username = {user}\nmlflow_tracking_password = {password}\n")
    file.chmod(0o600)


@pytest.fixture
def config(site: Site, make_config: Callable[..., TrainConfig]) -> TrainConfig:
    return make_config(tracking_uri=site.tracking.address, quality__samples=0, experiment="team")


def test_two_machines_train_what_a_third_submits_and_files_go_over_http(site: Site, config: TrainConfig) -> None:
    with site.machines.on("laptop"):
        job = submit(site.laptop, "together", *TRAIN, *flags(config))
        assert job.end(400) == 0
        assert status(site.laptop, "together") == "SUCCEEDED"

        result = result_of(config)
        about, trainer = f"run_id={result['run_id']}", (TRAINER, site.secrets["tracking password"])
        run = json.loads(call(f"{site.tracking.address}/api/2.0/mlflow/runs/get?{about}", *trainer))["run"]
        grid = call(f"{site.tracking.address}/get-artifact?path=result.json&{about}", *trainer)
        with pytest.raises(requests.HTTPError, match="403"):
            call(f"{site.tracking.address}/api/2.0/mlflow/runs/get?{about}", READER, site.secrets["another's password"])

    events = json.loads((Path(config.storage) / config.run_name / "journal.json").read_text())["events"]
    nodes = next(event["nodes"] for event in events if event["event"] == "ranks started")
    assert len(set(nodes)) == 2, "one rank on each node"
    assert result["status"] == run["info"]["status"] == "FINISHED"
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:"), "the server keeps the files"
    assert json.loads(grid)["sha256"] == result["sha256"]
    if not site.machines.refused:
        assert result["tracking"].startswith(f"http://{site.machines.address('tracking')}:")


@pytest.mark.parametrize("token", ["", "b" * 64])
def test_nobody_submits_or_joins_without_the_token(site: Site, token: str, tmp_path: Path) -> None:
    stranger = site.laptop | {"HOME": str(tmp_path)} | ({} if token else {"RAY_AUTH_MODE": "disabled"})
    if token:
        give_token(tmp_path, token)
    with site.machines.on("laptop") as address:
        done = ray_cli(stranger, "job", "submit", "--", "true")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        refusal = requests.get(f"{site.laptop['RAY_API_SERVER_ADDRESS']}/api/jobs/", headers=headers, timeout=30)
        with ray_node(stranger, address, "--num-cpus", "1") as node:
            output, _ = node.communicate(timeout=120)

    assert done.returncode != 0
    assert refusal.status_code == (403 if token else 401)
    assert node.returncode != 0
    for shown in (done.stdout + done.stderr, output):
        assert "uthenticat" in shown
        assert site.secrets["ray token"] not in shown


def test_the_tracking_server_answers_no_stranger_and_under_no_other_name(site: Site) -> None:
    url = f"{site.tracking.address}/api/2.0/mlflow/experiments/search?max_results=1"
    with site.machines.on("laptop"):
        for user, password in ((TRAINER, "wrong"), (ADMIN, "password1234"), (ADMIN, "")):
            with pytest.raises(requests.HTTPError, match="401"):
                call(url, user, password)
        with pytest.raises(requests.HTTPError, match="403"):
            call(url, TRAINER, site.secrets["tracking password"], Host="evil.example")
        assert json.loads(call(url, TRAINER, site.secrets["tracking password"])) is not None


def test_no_secret_shows_in_anything_that_was_written(site: Site, config: TrainConfig, tmp_path: Path) -> None:
    """After the other tests of this file: their runs count too."""
    planted = secrets.token_hex(20)
    places: dict[str, bytes] = {}
    unset = ("env", "-u", "MLFLOW_TRACKING_PASSWORD", "-u", "MLFLOW_TRACKING_USERNAME")
    failing = [*flags(config), "--verbose", "--run-name", "fails", "--experiment", "filed", "--optimizer-d.lr", "1e30"]
    bucket = f"s3://bucket/runs?scheme=http&endpoint_override={site.machines.address('tracking')}:1"
    with site.machines.on("laptop"):
        # The password from a file; losses that are NaN, so that ranks raise.
        failed = submit(site.laptop, "fails", *unset, *TRAIN, *failing)
        failed.end(400)
        # The keys of an object store that is not there.
        nowhere = submit(site.laptop, "nowhere", *TRAIN, *flags(config), "--storage", bucket)
        nowhere.end(300)
        # The way that is not allowed shows: so the search below finds what is there.
        visible = json.dumps({"env_vars": {"PLANTED": planted}})
        submit(site.laptop, "visible", "true", options=("--runtime-env-json", visible)).end(100)

        assert status(site.laptop, "fails") == "FAILED"
        assert " became " in failed.said
        assert status(site.laptop, "nowhere") == "FAILED"
        assert "cannot be read" in nowhere.said
        for what in ("job list", "list actors --detail", "list workers --detail", "list runtime-envs --detail"):
            address = ["--address", site.laptop["RAY_API_SERVER_ADDRESS"]]
            done = ray_cli(site.laptop, *what.split(), *address)
            places[f"ray {what}"] = (done.stdout + done.stderr).encode()
        for path in ("/api/jobs/", "/nodes?view=details", "/api/v0/tasks?detail=true"):
            places[path] = answer(site, path)
    places |= {"output of a failed job": failed.said.encode(), "output of a refused job": nowhere.said.encode()}
    places |= dict(rows(site.database))
    home = Path(site.head["HOME"])
    tokens = [Path(environment["HOME"]) / ".ray" / "auth_token" for environment in (site.head, site.laptop)]
    allowed = [*tokens, home / ".mlflow" / "credentials"]
    database = Path(parse_qs(urlsplit(site.database).query)["host"][0])
    runs = Path(os.path.commonpath([config.storage, str(tmp_path)])).parent
    places |= dict(files([home, site.tracking.folder, database, runs], but=allowed))

    wanted = forms(site.secrets, TRAINER) | forms({"file": site.secrets["password in a file"]}, FILED)
    assert leaks(wanted, places) == []
    planted_leaks = leaks({"planted": planted.encode()}, places)
    assert "planted in /api/jobs/" in planted_leaks
    assert any(str(home) in place for place in planted_leaks), "Ray's own files are searched"
    checkpoints = [place for place in places if "checkpoint_" in place and place.endswith("generator.pt")]
    assert checkpoints, "checkpoints are searched"
    assert any("result.json" in place for place in places)
    assert any(b"optimizer_d.lr" in content for place, content in places.items() if place.startswith("table"))
    print(f"{len(places)} files, tables and answers, {sum(map(len, places.values())) / 1e6:.0f} MB searched")


def answer(site: Site, path: str) -> bytes:
    """What the dashboard answers to a request with the token; what it says of an error of its own counts too."""
    headers = {"Authorization": f"Bearer {site.secrets['ray token']}"}
    return requests.get(site.laptop["RAY_API_SERVER_ADDRESS"] + path, headers=headers, timeout=60).content


def test_nothing_of_the_network_shows_on_this_machine(site: Site) -> None:
    cards = subprocess.run(["ip", "-br", "address"], capture_output=True, text=True, check=True).stdout
    assert "10.77.0" not in cards
