"""Fixtures that all tests share: real images where they are at hand, and one Ray for the whole session."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before anything imports ray or mlflow: nothing phones home, and no test meets a stranger's cluster or settings.
os.environ.update(
    DCGAN_DIST_QUIET="1",  # what a job writes does not depend on how slow the machine is
    RAY_USAGE_STATS_ENABLED="0",
    MLFLOW_DISABLE_TELEMETRY="true",
    RAY_AUTH_MODE="disabled",
    RAY_TRAIN_HEALTH_CHECK_INTERVAL_S="0.2",
    RAY_TRAIN_ENABLE_PRINT_PATCH="0",
    RAY_TRAIN_ENABLE_PREEMPTION_WATCHER="0",  # one process less to start; tests of preempted nodes want it
)
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "DCGAN_DIST_SHARDS", "DCGAN_DIST_STORAGE"):
    os.environ.pop(name, None)

if "PYTEST_XDIST_WORKER" in os.environ:  # what one worker's jobs leave behind is no matter of the other's
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="dt", dir="/tmp")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

REPOSITORY = Path(__file__).parents[1]
REAL_DATA = REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the shared Ray, so that `make check` can leave it out."""
    for item in items:
        if "ray_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images, which are not part of the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real images are not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, and two ranks do not fight over two cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """The browser of this system, opened once for the tests of a file."""
    from tests.helpers.screenshots import open_browser

    try:
        with open_browser() as opened:
            yield opened
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """One local Ray for the session, private to it; yields its address."""
    import ray

    ray.shutdown()  # a job that a test called before may have started a Ray of its own
    # Socket paths are limited to 107 characters, so not in pytest's own long temporary folder.
    folder = tempfile.mkdtemp(prefix="dd", dir="/tmp")
    context = ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        _temp_dir=folder,
        log_to_driver=False,
        configure_logging=False,
    )
    yield str(context["gcs_address"])  # pyright: ignore[reportIndexIssue]
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def session(ray_cluster: str) -> str:
    """Folder of the Ray session of these tests."""
    import ray

    return str(Path(ray._private.worker._global_node.get_session_dir_path()).parent)  # pyright: ignore
