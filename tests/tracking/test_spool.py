"""What is written while the tracking server is away reaches it later: all of it, once, in order; nobody waits meanwhile."""

import io
import logging
import sqlite3
import time
from pathlib import Path

import pytest
from PIL import Image

from dcgan_dist.tracking import spool
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.spool import Spool

from .conftest import create, history
from .relay import relay_to


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "RETRY_SECONDS", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


def test_everything_arrives_in_order_and_nothing_is_left(tracking_uri: str, tmp_path: Path) -> None:
    run = create(tracking_uri)
    writer = Spool(run, tmp_path / "spool")
    for step in range(1, 6):
        writer.log_metrics({"loss/d": 1 / step}, step)
    writer.log_image(picture(), "grids/000005.png")
    writer.log_dict({"a": 1}, "result.json")
    writer.log_metrics({f"many/{i}": float(i) for i in range(1500)}, 5)
    writer.set_tags({"outcome": "FINISHED"})

    assert writer.finish("FINISHED", patience=60)

    assert history(run) == [(step, 1 / step) for step in range(1, 6)]
    finished = run.client.get_run(run.run_id)
    assert finished.info.status == "FINISHED"
    assert finished.data.tags["outcome"] == "FINISHED"
    assert finished.data.metrics["many/1499"] == 1499.0
    files = {file.path for folder in (None, "grids") for file in run.client.list_artifacts(run.run_id, folder)}
    assert {"result.json", "grids/000005.png"} <= files
    assert not (tmp_path / "spool").exists()


def test_an_outage_costs_the_writer_nothing_and_loses_nothing(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with relay_to(server) as (relay, address), caplog.at_level(logging.WARNING):
        run = create(address)
        writer = Spool(run, tmp_path / "spool")
        writer.log_metrics({"loss/d": 1.0}, 1)
        assert writer.drain(30)
        relay.shut()
        slowest = 0.0
        for step in range(2, 30):
            began = time.monotonic()
            writer.log_metrics({"loss/d": 1 / step}, step)
            slowest = max(slowest, time.monotonic() - began)
        writer.log_image(picture(), "grids/000030.png")
        assert not writer.drain(1.0)
        relay.reopen()

        assert writer.finish("FINISHED", patience=60)

    reopened = TrackedRun.attach(server, run.run_id)
    assert slowest < 1.0
    assert writer.failures >= 1
    assert len([record for record in caplog.records if "training goes on" in record.message]) == 1
    assert history(reopened) == [(step, 1 / step) for step in range(1, 30)]
    assert [file.path for file in reopened.client.list_artifacts(run.run_id, "grids")] == ["grids/000030.png"]


def test_a_server_that_takes_no_files_gets_everything_else(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tracking_uri)

    def refuse(*_: object) -> None:
        raise OSError("no place for artifacts")

    monkeypatch.setattr(run.client, "log_artifact", refuse)
    writer = Spool(run, tmp_path / "spool")
    writer.log_image(picture(), "grids/000001.png")
    writer.log_metrics({"loss/d": 1.0}, 1)
    writer.set_tags({"outcome": "FINISHED"})

    assert not writer.finish("FINISHED", patience=5)

    assert history(run) == [(1, 1.0)]
    assert run.client.get_run(run.run_id).data.tags["outcome"] == "FINISHED"
    assert "lacks 1 events (no place for artifacts)" in writer.missing()


def test_a_job_killed_in_an_outage_leaves_its_events_to_the_next_start(server: str, tmp_path: Path) -> None:
    with relay_to(server) as (relay, address):
        run = create(address)
        relay.shut()
        first = Spool(run, tmp_path / "spool")
        first.log_metrics({"loss/d": 1.0}, 1)
        assert not first.finish("KILLED", patience=0.5)
        relay.reopen()
        again = Spool(TrackedRun.attach(address, run.run_id), tmp_path / "spool")
        again.log_metrics({"loss/d": 0.5}, 2)

        assert again.finish("FINISHED", patience=60)
        assert again.run.client.get_run(run.run_id).info.status == "FINISHED"

    reopened = TrackedRun.attach(server, run.run_id)
    assert history(reopened) == [(1, 1.0), (2, 0.5)]


def test_events_that_were_sent_and_not_deleted_are_sent_again_without_a_trace(
    tracking_uri: str, tmp_path: Path
) -> None:
    run = create(tracking_uri)
    writer = Spool(run, tmp_path / "spool")
    writer._closed = True  # the thread sends nothing more: the process is about to be killed
    with writer._changed:
        writer._changed.notify_all()
    writer._sender.join()
    writer.log_metrics({"loss/d": 1.0}, 1)
    writer.log_image(picture(), "grids/000001.png")
    events = {path: path.read_bytes() for path in (tmp_path / "spool").iterdir()}
    assert Spool(run, tmp_path / "spool").finish("KILLED", patience=60)
    (tmp_path / "spool").mkdir()
    for path, content in events.items():
        path.write_bytes(content)

    assert Spool(run, tmp_path / "spool").finish("FINISHED", patience=60)

    assert history(run) == [(1, 1.0)]
    assert [file.path for file in run.client.list_artifacts(run.run_id, "grids")] == ["grids/000001.png"]
    assert not run.client.list_artifacts(run.run_id, "images"), "a picture is stored once"


def test_a_disk_that_takes_nothing_for_a_while_neither_loses_an_event_nor_ends_the_sending(
    database: str, tmp_path: Path
) -> None:
    """A file in the folder's place refuses root too: nothing can be written there, and nothing removed."""
    folder, aside, run = tmp_path / "spool", tmp_path / "aside", create(database)
    writer = Spool(run, folder)
    writer.log_metrics({"loss/d": 1.0}, 1)
    assert writer.drain(30)
    folder.rename(aside)
    folder.touch()
    for step in (2, 3):
        writer.log_metrics({"loss/d": 1 / step}, step)
    writer.log_image(picture(), "grids/000003.png")
    assert writer.drain(30), "what lies in memory alone is sent"
    folder.unlink()
    writer.log_metrics({"loss/d": 0.25}, 4)

    assert writer.finish("FINISHED", patience=30)

    assert history(run) == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert [file.path for file in run.client.list_artifacts(run.run_id, "grids")] == ["grids/000003.png"]
    assert not folder.exists()


def test_events_that_the_disk_refused_in_an_outage_are_written_before_the_end(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with relay_to(server) as (relay, address):
        run = create(address)
        relay.shut()
        writer = Spool(run, folder)
        folder.touch()
        writer.log_metrics({"loss/d": 1.0}, 1)
        refused = writer.missing()
        folder.unlink()
        assert not writer.finish("KILLED", patience=0.5)
        assert Spool(TrackedRun.attach(server, run.run_id), folder).finish("FINISHED", patience=60)

    assert "lacks 1 events" in refused
    assert "0 are in" in refused
    assert "1 could not be written there and end with this process" in refused
    assert "lacks 2 events" in writer.missing()
    assert f"2 are in {folder} and are sent next time" in writer.missing()
    assert history(TrackedRun.attach(server, run.run_id)) == [(1, 1.0)]


def test_a_file_that_cannot_be_removed_is_sent_again_by_the_next_start_without_a_trace(
    database: str, tmp_path: Path
) -> None:
    folder, aside, run = tmp_path / "spool", tmp_path / "aside", create(database)
    lock = _locked(database)
    writer = Spool(run, folder)
    writer.log_metrics({"loss/d": 1.0}, 1)
    folder.rename(aside)
    folder.touch()
    lock.close()
    assert writer.finish("KILLED", patience=60)
    folder.unlink()
    aside.rename(folder)

    assert Spool(run, folder).finish("FINISHED", patience=30)

    assert history(run) == [(1, 1.0)]
    assert not folder.exists()


def test_a_database_that_is_moved_away_and_back_gets_everything(database: str, tmp_path: Path) -> None:
    place, run = Path(database.removeprefix("sqlite:///")), create(database)
    writer = Spool(run, tmp_path / "spool")
    place.rename(tmp_path / "aside.db")
    try:
        writer.log_metrics({"loss/d": 1.0}, 1)
        assert not writer.drain(2.0)
        away = writer.missing()
    finally:
        (tmp_path / "aside.db").rename(place)

    assert writer.finish("FINISHED", patience=30)

    assert "lacks 1 events (" in away
    assert "readonly database" in away
    assert history(run) == [(1, 1.0)]


@pytest.mark.parametrize("content", ["", "[1]", '{"kind": "image", "name": "grids/1.png"}', '{"kind"'])
def test_a_torn_event_is_said_and_holds_nothing_up(
    database: str, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    run, folder = create(database), tmp_path / "spool"
    folder.mkdir()
    for name in ("000000000007.json", "000000000008.tmp", "notes.json"):
        (folder / name).write_text(content)

    writer = Spool(run, folder)
    writer.log_metrics({"loss/d": 1.0}, 1)

    assert writer.finish("FINISHED", patience=30)
    assert history(run) == [(1, 1.0)]
    assert "000000000007.json is torn" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["notes.json"], "what is not ours stays"


def _locked(database: str) -> sqlite3.Connection:
    """Nobody else may read or write the database until this is closed."""
    connection = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection
