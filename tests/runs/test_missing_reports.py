"""After a kill of the driver the next start writes to the tracked run what it lacks, and nothing twice."""

from collections import Counter
from pathlib import Path

import pytest

from dcgan_dist.config import replace
from dcgan_dist.presets import preset
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.runs.outcome import log_missing_reports
from dcgan_dist.runs.plan import RunPlan, plan_run
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool
from dcgan_dist.training.whole_checkpoint import Progress
from tests.helpers.shards import write_shards
from tests.helpers.tracking_places import database  # noqa: F401
from tests.tracking.test_spool import picture

LOG = [{"images_seen": 16 * n, "metrics": {"loss/d": 1 / n, "loss/g": float(n)}} for n in range(1, 6)]
LOG[-1]["metrics"]["quality/frechet_random"] = 3.0
NAMES = ("loss/d", "loss/g", "quality/frechet_random", "progress/epoch", "updates/d", "updates/g")


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    write_shards(tmp_path / "shards", [64, 64], size=32, labelled=False)
    config = replace(preset("demo32"), "shards", str(tmp_path / "shards"))
    return plan_run(replace(config, "data.batch_size", 16))


@pytest.fixture
def store(tmp_path: Path, plan: RunPlan) -> CheckpointStore:
    """A storage with a checkpoint that has the whole log, and two grids."""
    store = CheckpointStore(RunFolder(str(tmp_path / "storage"), "run"))
    store.write(plan.config, Progress(step=5, images_seen=80), {}, LOG, tmp_path)
    for images_seen in (48, 80):
        store.folder.write_bytes(f"grids/{images_seen:012}.png", picture())
    return store


def points(run: TrackedRun) -> Counter[tuple[str, int]]:
    """How many points each metric has at each number of images."""
    histories = {name: run.client.get_metric_history(run.run_id, name) for name in NAMES}
    return Counter((name, point.step) for name, history in histories.items() for point in history)


def test_reports_and_grids_that_a_killed_driver_did_not_send_are_filled_in_once(
    database: str,  # noqa: F811
    plan: RunPlan,
    store: CheckpointStore,
    tmp_path: Path,
) -> None:
    run = TrackedRun.create(database, "tests", "killed", {}, {})
    spool = Spool(run, tmp_path / "spool")
    for line in LOG[:3]:  # the driver lived so long
        spool.log_metrics({**line["metrics"], "progress/epoch": line["images_seen"] / 128}, line["images_seen"])
    spool.log_image(picture(), "grids/000000000048.png")

    log_missing_reports(plan, store, spool)  # some of these still wait to be sent
    assert spool.drain(60)
    log_missing_reports(plan, store, spool)
    assert spool.finish("FINISHED", patience=60)

    told = {(name, line["images_seen"]) for line in LOG for name in line["metrics"]}
    derived = {(name, line["images_seen"]) for line in LOG for name in ("progress/epoch", "updates/d", "updates/g")}
    assert points(run) == Counter(told | derived)
    assert {p.step: p.value for p in run.client.get_metric_history(run.run_id, "progress/epoch")} == {
        16 * n: n / 8 for n in range(1, 6)
    }
    grids = [file.path for file in run.client.list_artifacts(run.run_id, "grids")]
    assert grids == ["grids/000000000048.png", "grids/000000000080.png"]


def test_a_record_that_was_lost_with_its_database_is_made_again_from_the_storage(
    database: str,  # noqa: F811
    plan: RunPlan,
    store: CheckpointStore,
    tmp_path: Path,
) -> None:
    earlier = {"tracking_uri": database, "run_id": "0" * 32}

    run = TrackedRun.attach_or_create(earlier, database, "tests", "again", {}, {})
    spool = Spool(run, tmp_path / "spool")
    log_missing_reports(plan, store, spool)

    assert spool.finish("FINISHED", patience=60)
    assert set(points(run)) >= {(name, line["images_seen"]) for line in LOG for name in line["metrics"]}


def test_a_storage_that_does_not_answer_stops_nothing(
    database: str,  # noqa: F811
    plan: RunPlan,
    store: CheckpointStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool = Spool(TrackedRun.create(database, "tests", "away", {}, {}), tmp_path / "spool")
    for file in Path(store.folder.path).rglob("*.png"):
        file.unlink()
        file.mkdir()  # reading it fails

    log_missing_reports(plan, store, spool)

    assert "the next start looks again" in caplog.text
    assert spool.finish("FINISHED", patience=60)
