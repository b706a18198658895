"""What joining a cluster says where there is none, before Ray would wait for ever."""

import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from dcgan_dist.cluster import join
from dcgan_dist.errors import InputError
from tests.conftest import REPOSITORY


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(join.ray, "is_initialized", lambda: False)  # others of this session may have joined one
    monkeypatch.setattr(join, "SECONDS_FOR_HEAD", 1)
    monkeypatch.setenv("RAY_ADDRESS", request.param)


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:8265", "address of a dashboard"),
        ("127.0.0.1:1", "nothing answers"),
        ("no-such-host.invalid:6379", "nothing answers"),
        ("127.0.0.1:99999", "nothing answers"),
        ("nonsense", "no Ray cluster"),
    ],
    indirect=["address"],
)
def test_an_address_without_a_head_is_refused(message: str) -> None:
    with pytest.raises(InputError, match=message):
        join.join_cluster()


def test_another_server_at_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(join.ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.server_port}")

    with pytest.raises(InputError, match="not the head of a Ray cluster"):
        join.join_cluster()

    server.shutdown()


def test_a_head_is_let_pass(ray_cluster: str) -> None:
    join._wait_for_head(ray_cluster)
    join._wait_for_head(f"ray://{ray_cluster}")


def test_a_temporary_folder_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long for the sockets"):
        join._prepare_own_cluster({"RAY_TMPDIR": str(tmp_path / ("x" * 90))})


def test_a_new_cluster_gets_a_token_that_no_file_holds(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "RAY_TMPDIR": "/tmp"}

    join._prepare_own_cluster(environment)

    assert len(environment["RAY_AUTH_TOKEN"]) == 64
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not (shutil.which("setpriv") and os.getuid() == 0), reason="takes root and setpriv")
def test_a_user_without_name_and_home_prepares_shards_and_starts_ray(tmp_path: Path) -> None:
    # It may read everything, as the interpreter may lie in a home folder, and write nowhere else.
    tmp_path.chmod(0o777)
    may = "dac_read_search"
    bare = f"setpriv --reuid 54321 --regid 54321 --clear-groups --inh-caps +{may} --ambient-caps +{may}".split()
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    job = [
        sys.executable,
        str(REPOSITORY / "jobs" / "prepare_rooms.py"),
        "--out",
        str(tmp_path / "shards"),
        "--cpus",
        "2",
    ]

    small = ["--n", "40", "--image-size", "16", "--shard-samples", "10"]
    done = subprocess.run([*bare, *job, *small], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "40 train images" in done.stdout + done.stderr


def test_ray_leaves_a_folder_of_another_user_alone() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        environment = {"RAY_TMPDIR": folder}
        join._prepare_own_cluster(environment)
        assert environment["RAY_TMPDIR"] == folder

        (Path(folder) / "ray").symlink_to("/tmp")
        join._prepare_own_cluster(environment)

        assert Path(environment["RAY_TMPDIR"]).parent == Path(folder)
        assert Path(environment["RAY_TMPDIR"]).stat().st_mode & 0o777 == 0o700
