"""The tracking server is killed in the middle of a run and comes back: training goes on, and the server gets everything once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest
from mlflow import MlflowClient

from dcgan_dist.config import TrainConfig
from dcgan_dist.runs.driver import run_training
from dcgan_dist.training.whole_checkpoint import load_log
from tests.chaos.conftest import SHORT, check_exact, result_of
from tests.chaos.cost import Events, Heard, Injected, Table
from tests.helpers.logs import listening
from tests.helpers.postgres import postgres
from tests.helpers.tracking_server import TrackingServer

pytestmark = [pytest.mark.chaos, pytest.mark.slow]  # tests/tracking/test_spool.py holds outages without a run

AWAY_STEPS = 80


@pytest.fixture(params=["sqlite", "PostgreSQL"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def server(backend: str, tmp_path: Path) -> Iterator[TrackingServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ExitStack() as stack:
        server = TrackingServer(folder, stack.enter_context(postgres()) if backend == "PostgreSQL" else "")
        stack.callback(server.stop)
        yield server


class Outage(threading.Thread):
    """Kills the server after some steps, and starts it again after some more."""

    def __init__(self, server: TrackingServer, heard: Heard) -> None:
        super().__init__(daemon=True)
        self.server, self.heard = server, heard
        self.away: list[int] = []
        """Steps that had been done at its end and at its return."""

    def run(self) -> None:
        self._wait_for(60)
        self.server.stop()
        self.away.append(self.heard.step)
        self._wait_for(self.away[0] + AWAY_STEPS)
        self.away.append(self.heard.step)
        self.server.start()

    def _wait_for(self, step: int) -> None:
        while self.heard.step < step:
            time.sleep(0.02)


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_and_started_again_gets_every_event_once_and_in_order(
    soak_config: Callable[..., TrainConfig],
    straight: Callable[[int], dict],
    session: str,
    table: Table,
    server: TrackingServer,
    backend: str,
) -> None:
    expected, config = straight(SHORT), soak_config(SHORT, tracking_uri=server.address)
    heard = Heard(Events(config).steps_per_epoch)
    outage = Outage(server, heard)
    outage.start()

    with listening(heard):
        assert run_training(config) == 0

    outage.join(120)
    assert len(outage.away) == 2
    assert outage.away[1] < SHORT
    client, result = MlflowClient(server.address), result_of(config)
    run_id = result["run_id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    log = load_log(Path(result["checkpoint"]))
    for name in {name for line in log for name in line["metrics"]}:
        points = client.get_metric_history(run_id, name)
        told = [(line["images_seen"], line["metrics"][name]) for line in log if name in line["metrics"]]
        assert [(point.step, point.value) for point in points] == told, name
        assert [point.timestamp for point in points] == sorted(point.timestamp for point in points), name
    files = {file.path for folder in (None, "grids") for file in client.list_artifacts(run_id, folder)}
    judged = [line["images_seen"] for line in log if "quality/frechet_random" in line["metrics"]]
    assert {"result.json"} | {f"grids/{seen:012}.png" for seen in judged} <= files

    paces = client.get_metric_history(run_id, "speed/images_per_second")
    gone, back = (config.data.batch_size * step for step in outage.away)
    before = [pace.value for pace in paces if pace.step < gone]
    away = [pace.value for pace in paces if gone <= pace.step < back]
    assert median(away) > median(before) / 5, "training was blocked"
    fault = Injected(fault=f"tracking server killed and started again ({backend})")
    check_exact(config, expected, table, [fault])
