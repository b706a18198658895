"""The doctor on real patients: a Ray with and without a token, shards, a tracking server, files of a cluster."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcgan_dist.cluster.token import Answer, ask
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.doctor import __main__ as doctor
from dcgan_dist.doctor import machine
from dcgan_dist.doctor.services import check_clock
from dcgan_dist.errors import InputError
from tests.doctor.samples import rendered, source
from tests.helpers.head import ray_cli, ray_head
from tests.helpers.jobs import draw_rooms
from tests.helpers.listener import listener


@pytest.fixture(scope="module")
def closed() -> Iterator[dict[str, str]]:
    """Environment of clients of a real head that asks for a token."""
    with ray_head() as environment:
        ray_cli(environment, "job", "list")  # returns when the job service is up
        yield environment


@pytest.fixture(scope="module")
def open_head() -> Iterator[dict[str, str]]:
    """Environment of clients of a real head without authentication."""
    with ray_head(RAY_AUTH_MODE="disabled") as environment:
        ray_cli(environment, "job", "list")
        yield environment


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn rooms."""
    return draw_rooms(tmp_path_factory.mktemp("shards") / "rooms", 8)


class Examination:
    """Runs the doctor as a client of some head would; answers by the name of a check."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.patch, self.out, self.code = monkeypatch, tmp_path / "doctor.json", -1

    def __call__(self, environment: dict[str, str], *flags: str) -> dict[str, dict[str, Any]]:
        for name in ("HOME", "RAY_AUTH_MODE", "RAY_API_SERVER_ADDRESS"):
            if name in environment:
                self.patch.setenv(name, environment[name])
            else:
                self.patch.delenv(name, raising=False)
        self.code = doctor.main([*flags, "--json", str(self.out)])
        return {check["name"]: check for check in json.loads(self.out.read_text())["checks"]}


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examination:
    return Examination(monkeypatch, tmp_path)


def test_a_healthy_cluster_passes(closed: dict[str, str], shards: Path, tmp_path: Path, examine: Examination) -> None:
    checks = examine(closed, "--shards", str(shards), "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db")

    assert examine.code == 0, checks
    machine_checks = ("ray here", "shared memory", "GPUs")
    for name in (*machine_checks, "token", "dashboard", "cluster", "shards", "tracking", "clock of cluster"):
        assert checks[name]["status"] == "ok", checks[name]
    assert "8 samples" in checks["shards"]["found"]
    assert not (tmp_path / "mlflow.db").exists(), "the doctor makes nothing"


def test_an_open_dashboard_fails_with_one_line_that_closes_it(open_head: dict[str, str], examine: Examination) -> None:
    checks = examine(open_head)

    assert examine.code == 1
    assert checks["dashboard"]["risk"] == "open-dashboard"
    assert "RAY_AUTH_MODE=token" in checks["dashboard"]["remedy"]
    assert checks["token"]["risk"] == "no-token"
    assert "\n" not in checks["dashboard"]["remedy"]


def test_a_wrong_token_is_told_from_a_right_one(closed: dict[str, str], tmp_path: Path, examine: Examination) -> None:
    token = tmp_path / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("0" * 64)
    token.chmod(0o600)

    checks = examine(closed | {"HOME": str(tmp_path / "home")})

    assert (checks["token"]["status"], checks["cluster"]["status"]) == ("ok", "failed")
    assert "refuses our token" in checks["cluster"]["found"]


def test_a_token_that_others_read_fails(closed: dict[str, str], tmp_path: Path, examine: Examination) -> None:
    copied = tmp_path / "home"
    shutil.copytree(Path(closed["HOME"]) / ".ray", copied / ".ray")
    (copied / ".ray" / "auth_token").chmod(0o644)

    checks = examine(closed | {"HOME": str(copied)})

    assert checks["token"]["remedy"].startswith("chmod 600 ")
    assert (checks["cluster"]["status"], examine.code) == ("ok", 1)


def test_a_head_that_is_not_there_is_named(closed: dict[str, str], examine: Examination) -> None:
    checks = examine(closed, "--address", "http://127.0.0.1:9")

    assert checks["cluster"]["status"] == "failed"
    assert "ssh -L" in checks["cluster"]["remedy"]


def test_a_token_that_ray_would_take_is_seen_where_no_mode_is_set(
    closed: dict[str, str], examine: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = {"HOME": closed["HOME"]}
    monkeypatch.setattr(doctor, "HERE", closed["RAY_API_SERVER_ADDRESS"])

    checks = examine(unset)
    assert [checks[name]["status"] for name in ("token", "dashboard", "cluster")] == ["ok"] * 3

    checks = examine(unset, "--address", closed["RAY_API_SERVER_ADDRESS"])  # whose clients would take none
    assert checks["token"]["risk"] == "no-token"
    assert checks["cluster"]["status"] == "failed"

    assert examine(closed | {"RAY_AUTH_MODE": "Token"})["cluster"]["status"] == "ok"


def test_a_stranger_at_the_usual_address_gets_no_token(
    closed: dict[str, str], examine: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener(status=404) as (address, seen):
        monkeypatch.setattr(doctor, "HERE", address)
        checks = examine({"HOME": closed["HOME"], "RAY_AUTH_MODE": "token"})

    assert seen == [("/api/version", None)]
    assert checks["cluster"]["status"] == "skipped"


@pytest.mark.parametrize("place", ["127.0.0.1:9", "host:port", "127.0.0.1:9/a b"])
def test_no_password_is_shown(place: str, examine: Examination, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"http://me:PASSWORD@{place}"

    checks = examine({}, "--address", uri, "--tracking-uri", uri)

    assert (checks["tracking"]["status"], checks["cluster"]["status"]) == ("failed", "failed")
    assert "PASSWORD" not in str(checks) + capsys.readouterr().out


def test_what_jobs_read_and_write_is_looked_for(shards: Path, tmp_path: Path, examine: Examination) -> None:
    broken = Path(shutil.copytree(shards, tmp_path / "broken"))
    tar = next(broken.glob("*.tar"))
    tar.write_bytes(tar.read_bytes()[:-512])

    checks = examine({}, "--shards", str(broken), "--tracking-uri", "http://127.0.0.1:9")
    assert (checks["shards"]["status"], checks["tracking"]["status"]) == ("failed", "failed")
    assert tar.name in checks["shards"]["found"]

    (tmp_path / "empty").mkdir()
    checks = examine({}, "--shards", str(tmp_path / "empty"))
    assert "has no manifest.json" in checks["shards"]["found"]
    assert load_manifest(str(shards)).samples == 8


def test_versions_with_holes_are_named_honestly() -> None:
    """MLflow's is a warning as long as no mended one can be installed."""
    assert machine.check_mlflow_version("3.18.0").status == "ok"
    assert machine.check_mlflow_version("3.17.2").status == "warning"
    assert "holes" in machine.check_mlflow_version("3.17.2").found


@pytest.mark.parametrize(
    ("driver", "torch", "faiss", "status"),
    [(0, 0, 0, "ok"), (2, 2, 2, "ok"), (2, 0, 0, "failed"), (2, 1, 1, "failed"), (1, 1, 0, "warning")],
)
def test_gpus_that_torch_or_faiss_do_not_see_are_missed(driver: int, torch: int, faiss: int, status: str) -> None:
    assert machine.judge_gpus({"driver": driver, "torch": torch, "FAISS": faiss}).status == status


def test_shared_memory_has_to_be_there_and_large_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_shared_memory(tmp_path / "none").status == "failed"
    monkeypatch.setattr(machine, "LEAST_SHARED_MEMORY", shutil.disk_usage(tmp_path).total + 1)

    assert "--shm-size" in machine.check_shared_memory(tmp_path).remedy


@pytest.mark.parametrize(
    ("skew", "status"), [(0.6, "ok"), (-4.0, "ok"), (60.0, "failed"), (-60.0, "failed"), (None, "skipped")]
)
def test_clocks_may_differ_by_seconds_only(skew: float | None, status: str) -> None:
    assert check_clock("cluster", Answer(200, "", skew)).status == status


def test_a_real_server_s_clock_is_read(closed: dict[str, str]) -> None:
    before = time.time()
    answer = ask(f"{closed['RAY_API_SERVER_ADDRESS']}/api/version")

    assert answer.status == 401
    assert answer.skew is not None
    assert abs(answer.skew) < 2 + time.time() - before


def test_files_of_a_cluster_are_judged_once_they_are_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, open_one, empty = tmp_path / "good.yaml", tmp_path / "open.yaml", tmp_path / "unfilled.yaml"
    good.write_text(rendered("aws_base.yaml").text)
    open_one.write_text(good.read_text().replace("198.51.100.7/32", "0.0.0.0/0"))
    empty.write_text(source("aws_base.yaml").text)

    assert doctor.main(["--files", str(good)]) == 0
    assert doctor.main(["--files", str(good), str(open_one)]) == 1
    assert "lets in 0.0.0.0/0" in capsys.readouterr().out
    assert doctor.main(["--files", str(empty)]) == 1
    assert "${SSH_CIDR} is not filled in" in capsys.readouterr().out
    with pytest.raises(InputError, match="cannot be read"):
        doctor.main(["--files", str(tmp_path / "none.yaml")])
