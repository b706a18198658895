"""Runs as a database and a server keep them."""

import getpass
import json
import logging
import math
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dcgan_dist.config import flatten
from dcgan_dist.errors import InputError
from dcgan_dist.presets import preset
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun

from .conftest import create, history
from .relay import relay_to


def test_a_run_keeps_its_whole_config_and_tags(tracking_uri: str) -> None:
    config = flatten(preset("lsun64"))
    tags = environment_tags() | {"manifest_hash": "abc", "long": "y" * 20_000}

    run = TrackedRun.create(tracking_uri, "tests", "lsun64-0123", config, tags)

    record = run.client.get_run(run.run_id)
    assert record.info.run_name == "lsun64-0123"
    assert record.info.status == "RUNNING"
    assert record.data.params == {name: str(value) for name, value in config.items()}
    assert record.data.params["optimizer_d.lr"] == "0.0002"
    assert record.data.tags["manifest_hash"] == "abc"
    assert record.data.tags["version.torch"] == environment_tags()["version.torch"]
    assert len(record.data.tags["long"]) <= 5000


def test_a_run_names_its_images_who_started_it_and_how(tracking_uri: str) -> None:
    run = TrackedRun.create(tracking_uri, "tests", "a run", {}, environment_tags())
    for _ in range(2):  # each start of a run says so again
        run.log_data_set("rooms", "ab" * 32, "s3://shards/rooms", 320)

    record = run.client.get_run(run.run_id)
    assert record.inputs is not None
    (found,) = record.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("rooms", "ab" * 16)
    assert json.loads(found.dataset.source) == {"uri": "s3://shards/rooms"}
    assert json.loads(str(found.dataset.profile)) == {"images": 320}
    assert record.data.tags["mlflow.user"] == getpass.getuser()
    assert record.data.tags["mlflow.source.type"] == "LOCAL"
    assert shlex.split(record.data.tags["command"]) == sys.argv
    assert run.failures == 0


def test_long_params_are_cut_and_kept_whole_in_a_file(tracking_uri: str, tmp_path: Path) -> None:
    long = {f"key{i}": "x" * 3000 + str(i) for i in range(150)}

    run = create(tracking_uri, **long)

    shown = run.client.get_run(run.run_id).data.params
    assert len(shown) == 150
    assert len(set(shown.values())) == 150, "what is cut still differs by its hash"
    assert max(map(len, shown.values())) <= 500
    whole = Path(run.client.download_artifacts(run.run_id, "params.json", str(tmp_path)))
    assert all(value in whole.read_text() for value in long.values())


def test_metrics_lie_at_images_seen_and_odd_values_survive(tracking_uri: str) -> None:
    run = create(tracking_uri)

    run.log_metrics({"loss/d": 1.5, "loss/g": math.nan, "up": math.inf, "down": -math.inf}, 128)
    run.log_metrics({"loss/d": 1.25}, 3_000_000_000)

    assert history(run) == [(128, 1.5), (3_000_000_000, 1.25)]
    assert math.isnan(history(run, "loss/g")[0][1])
    assert history(run, "up")[0][1] >= sys.float_info.max
    assert history(run, "down")[0][1] <= -sys.float_info.max
    assert run.failures == 0


def test_thousands_of_metrics_fit_in_one_call(database: str) -> None:
    run = create(database)

    run.log_metrics({f"many/{i}": float(i) for i in range(2500)}, 1)

    assert len(run.client.get_run(run.run_id).data.metrics) == 2500


def test_files_and_dictionaries_are_kept(tracking_uri: str, tmp_path: Path) -> None:
    run = create(tracking_uri)
    report = tmp_path / "report.html"
    report.write_text("a report")

    run.log_artifact(report)
    run.log_artifact(report, "reports")
    run.log_dict({"a": [1, 2]}, "results/result.json")

    def names(folder: str | None) -> set[str]:
        return {Path(file.path).name for file in run.client.list_artifacts(run.run_id, folder) if not file.is_dir}

    assert run.failures == 0
    assert names(None) == names("reports") == {"report.html"}
    assert names("results") == {"result.json"}


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_it_is_told(tracking_uri: str, status: Any) -> None:
    run = create(tracking_uri)

    run.finish(status)

    info = run.client.get_run(run.run_id).info
    assert info.status == status
    assert info.end_time is not None


def test_a_restarted_run_stays_one_run_and_may_repeat_steps(tracking_uri: str) -> None:
    first = create(tracking_uri, seed=1)
    first.log_metrics({"loss/d": 1.0}, 100)
    first.log_metrics({"loss/d": 0.9}, 200)
    first.finish("FAILED")

    again = TrackedRun.attach(first.tracking_uri, first.run_id)
    assert again.client.get_run(first.run_id).info.status == "RUNNING"
    time.sleep(0.002)  # points have the time in milliseconds
    again.log_metrics({"loss/d": 0.9}, 200)
    again.log_metrics({"loss/d": 0.8}, 300)
    again.finish("FINISHED")

    record = again.client.get_run(first.run_id)
    assert record.info.status == "FINISHED"
    assert record.data.params == {"seed": "1"}
    assert record.data.metrics["loss/d"] == 0.8
    assert sorted(history(again, "loss/d")) == [(100, 1.0), (200, 0.9), (200, 0.9), (300, 0.8)]


def test_another_process_writes_to_the_same_run(database: str) -> None:
    run = create(database)
    code = (
        "from dcgan_dist.tracking.runs import TrackedRun\n"
        f"TrackedRun.attach({run.tracking_uri!r}, {run.run_id!r}).log_metrics({{'rank': 7.0}}, 5)\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)

    assert history(run, "rank") == [(5, 7.0)]


def test_unknown_and_deleted_runs_cannot_be_attached(tracking_uri: str) -> None:
    run = create(tracking_uri)
    run.client.delete_run(run.run_id)

    for run_id in (run.run_id, "0" * 32):
        with pytest.raises(InputError, match="refused"):
            TrackedRun.attach(tracking_uri, run_id)


def test_a_deleted_experiment_is_said(tracking_uri: str) -> None:
    run = TrackedRun.create(tracking_uri, "to be deleted", "a run", {}, {})
    run.client.delete_experiment(run.experiment_id)

    with pytest.raises(InputError, match="'to be deleted' was deleted"):
        TrackedRun.create(tracking_uri, "to be deleted", "a run", {}, {})


def test_an_outage_stops_nothing_and_is_logged_once(server: str, caplog: pytest.LogCaptureFixture) -> None:
    with relay_to(server) as (relay, address), caplog.at_level(logging.WARNING):
        run = create(address)
        relay.shut()
        run.log_metrics({"loss/d": 1.0}, 1)
        run.set_tags({"lost": "yes"})
        failures = run.failures
        relay.reopen()
        run.log_metrics({"loss/d": 0.25}, 2)
        run.finish("FINISHED")

    reopened = TrackedRun.attach(server, run.run_id)
    assert history(reopened) == [(2, 0.25)]
    assert failures == run.failures == 2, "after the outage nothing fails"
    assert len([record for record in caplog.records if "the job goes on" in record.message]) == 1


def test_system_metrics_are_recorded_and_go_on_after_a_restart(database: str) -> None:
    run = create(database)
    threads = set(threading.enumerate())

    for attempt in (1, 2):
        attached = TrackedRun.attach(run.tracking_uri, run.run_id)
        with attached.system_metrics(interval_seconds=0.1):
            for _ in range(100):
                time.sleep(0.1)
                if len(history(run, "system/cpu_utilization_percentage")) >= 2 * attempt:
                    break
        assert set(threading.enumerate()) <= threads, "the thread that measures ends with the block"

    steps = [step for step, _ in history(run, "system/cpu_utilization_percentage")]
    assert len(steps) >= 4
    assert steps == sorted(set(steps)), "steps go on where they ended"
    assert run.client.get_run(run.run_id).data.metrics["system/system_memory_usage_megabytes"] > 0


def test_no_process_wide_state_of_mlflow_is_touched(database: str) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    create(database).finish("FINISHED")

    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_relative_databases_mean_the_same_in_every_process(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(database.removeprefix("sqlite:///"))
    create(database)
    with monkeypatch.context() as patch:
        patch.chdir(place.parent)
        run = TrackedRun.create("sqlite:///mlflow.db", "tests", "a run", {}, {})

    assert run.tracking_uri == database
    TrackedRun.attach(run.tracking_uri, run.run_id)


def test_people_are_told_where_to_look(database: str, server: str) -> None:
    at_server, in_file = create(server), create(database)

    assert at_server.url == f"{server}/#/experiments/{at_server.experiment_id}/runs/{at_server.run_id}"
    assert at_server.description == at_server.url
    assert in_file.description.endswith(f"mlflow ui --backend-store-uri '{database}'")
    assert isinstance(in_file.client, MlflowClient)
