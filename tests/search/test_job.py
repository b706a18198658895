"""Searches on a real Ray: all trials, failed ones too, in MLflow; the best in the registry; killed and gone on."""

import dataclasses
import json
import logging
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from dcgan_dist.config import flatten
from dcgan_dist.errors import InputError
from dcgan_dist.registry.load import load_classifier
from dcgan_dist.search.few_labels import open_few_labels
from dcgan_dist.search.job import run_search
from dcgan_dist.search.plan import plan_search
from dcgan_dist.search.result import best_configuration
from dcgan_dist.search.search_config import SearchConfig
from tests.helpers.jobs import JOBS
from tests.helpers.processes import actors
from tests.helpers.search import children, write_data, write_space
from tests.helpers.tracking_places import new_database
from tests.helpers.training_job import Job

NAME = "dcgan-test-supervised"
Make = Callable[..., SearchConfig]
Log = pytest.LogCaptureFixture


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "svhn")


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_database(tmp_path_factory.mktemp("tracking"))


@pytest.fixture(scope="module")
def make(ray_cluster: str, data: Path, tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Config of a small search in a new storage; `space` changes distributions."""

    def config(*, space: dict[str, Any] | None = None, **changes: Any) -> SearchConfig:
        folder = tmp_path_factory.mktemp("search")
        small: dict[str, Any] = {
            "data": str(data),
            "protocol": "small",
            "trials": 3,
            "repeats": 0,
            "space": str(write_space(folder / "space.json", **(space or {}))),
            "storage": str(folder / "runs"),
            "run_name": "search",
            "tracking_uri": tracking_uri,
            "register_as": "",
            "max_concurrent": 2,
            "heartbeat_seconds": 1.0,
        }
        return SearchConfig(**(small | changes))

    return config


@pytest.fixture
def log(caplog: Log) -> Log:
    """What the package logs, from level INFO on."""
    caplog.set_level(logging.INFO, logger="dcgan_dist")
    return caplog


def result_of(config: SearchConfig) -> dict[str, Any]:
    return json.loads((Path(config.storage) / config.run_name / "result.json").read_text())


def wait_for_a_checkpoint(folder: Path) -> None:
    """Until one lies at any depth, for two minutes at most."""
    until = time.monotonic() + 120
    while not list(folder.glob("**/checkpoint_*/checkpoint.json")) and time.monotonic() < until:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(make: Make) -> SearchConfig:
    """A search of 64 trials that is done; those of one learning rate in eight fail."""
    rates = {"choice": [1e30, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 8e-3, 1e-2]}
    config = make(trials=64, repeats=2, register_as=NAME, seed=3, space={"optimizer__lr": rates})
    assert run_search(config) == 0
    return config


@pytest.mark.timeout(600)
def test_64_trials_run_to_the_end_and_failed_ones_are_recorded(finished: SearchConfig) -> None:
    config, result, plan = finished, result_of(finished), plan_search(finished)
    failing = {number for number, trial in enumerate(plan.trials) if trial.optimizer.lr == 1e30}
    assert 2 < len(failing) < 20
    assert (len(result["trials"]), result["finished"], result["failed"]) == (64, 64 - len(failing), len(failing))
    assert result["job"] == "search"

    nested = children(config.tracking_uri, result["run_id"])
    assert sorted(nested) == list(range(64))
    for number, run in nested.items():
        assert run.info.status == ("FAILED" if number in failing else "FINISHED")
        assert run.data.params == {path: str(value) for path, value in flatten(plan.trials[number]).items()}
        outcome = result["trials"][number]
        if number in failing:
            assert "NonFiniteError" in run.data.tags["error"] == outcome["error"]
        else:
            assert run.data.metrics["error_percent/validation"] == outcome["validation_error_percent"]

    parent = MlflowClient(config.tracking_uri).get_run(result["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.params["trials"] == "64"
    ended_well = [trial for trial in result["trials"] if trial["status"] == "FINISHED"]
    errors = {trial["trial"]: trial["validation_error_percent"] for trial in ended_well}
    assert result["best"]["validation_error_percent"] == min(errors.values()) == errors[result["best"]["trial"]]
    assert parent.data.metrics["search/best_error_percent"] == min(errors.values())
    files = {file.path for file in MlflowClient(config.tracking_uri).list_artifacts(result["run_id"])}
    assert {"search.png", "report.html", "result.json"} <= files


@pytest.mark.timeout(600)
def test_the_best_is_repeated_registered_and_found_by_its_alias(finished: SearchConfig, data: Path) -> None:
    config, result = finished, result_of(finished)
    validation = [repeat["validation_error_percent"] for repeat in result["repeats"]]
    assert [repeat["draw"] for repeat in result["repeats"]] == [1, 2]
    assert result["row"]["validation_error_percent"]["mean"] == pytest.approx(sum(validation) / 2, abs=1e-3)
    assert (result["paper_row"]["validation_error_percent"], result["comparable"]) == (28.87, False)
    assert any("not comparable" in deviation for deviation in result["deviations"])

    version = MlflowClient(config.tracking_uri).get_model_version_by_alias(NAME, "candidate")
    run = MlflowClient(config.tracking_uri).get_run(str(version.run_id))
    best = result["best"]
    assert run.data.tags["trial"] == str(best["trial"])
    for path, value in best["config"].items():
        assert version.tags[path] == run.data.params[path] == str(value)
    uri = f"models:/{NAME}@candidate"
    assert best_configuration(uri, config.tracking_uri) == plan_search(config).trials[best["trial"]]

    network = load_classifier(uri, config.tracking_uri)
    test = open_few_labels(str(data), protocol="small", seed=3).test
    assert test is not None
    predicted = network(torch.from_numpy(test.images.copy()) / 127.5 - 1).argmax(1).numpy()
    registered = result["repeats"][result["model"]["draw"] - 1]
    assert 100 * (predicted != test.labels).mean() == pytest.approx(registered["test_error_percent"])
    assert registered["validation_error_percent"] == min(validation)


@pytest.mark.slow
def test_a_practice_search_does_not_take_the_alias_from_the_real_one(
    finished: SearchConfig, make: Make, log: Log
) -> None:
    client = MlflowClient(finished.tracking_uri)
    client.set_model_version_tag(NAME, "1", "protocol", "paper")

    assert run_search(make(trials=1, repeats=1, register_as=NAME)) == 0

    assert str(client.get_model_version_by_alias(NAME, "candidate").version) == "1"
    assert client.get_model_version(NAME, "2").tags["protocol"] == "small"
    assert "no alias moved" in log.messages[-1]


@pytest.mark.slow
def test_a_finished_search_can_be_made_longer_but_not_another(make: Make, log: Log) -> None:
    config = make(trials=2)
    assert run_search(config) == 0
    before = result_of(config)
    log.clear()

    assert run_search(config) == 0
    assert "is finished" in log.messages[0]
    assert run_search(dataclasses.replace(config, trials=4)) == 0

    after = result_of(config)
    assert after["trials"][:2] == before["trials"]
    assert len(after["trials"]) == 4
    assert "2 of 4 trials are done; 0 of the others had been started" in log.messages
    assert len(children(config.tracking_uri, after["run_id"])) == 4
    assert after["run_id"] == before["run_id"]
    with pytest.raises(InputError, match="was started with 4 trials and now has 3: it can be made longer"):
        run_search(dataclasses.replace(config, trials=3))
    with pytest.raises(InputError, match=r"started with another config: .*seed was 0 and is now 1"):
        run_search(dataclasses.replace(config, seed=1))
    with pytest.raises(InputError, match="started with another config: space was"):
        run_search(dataclasses.replace(config, space=make(space={"dropout": {"uniform": [0, 0.1]}}).space))


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("forgiven", [0, 1])
def test_a_trial_whose_process_dies_is_recorded_or_goes_on(make: Make, session: str, forgiven: int) -> None:
    """The one long trial is killed; the others do not notice."""
    space = {"epochs": {"choice": [60]}}
    config = make(trials=2, space=space, max_concurrent=1, max_failures=forgiven, checkpoint_seconds=0.0)

    def kill_once() -> None:
        wait_for_a_checkpoint(Path(config.storage) / "search" / "trials" / "000")
        for process in actors(session, "ImplicitFunc"):
            process.kill()

    killer = threading.Thread(target=kill_once)
    killer.start()
    code = run_search(config)
    killer.join()

    assert code == 0
    result = result_of(config)
    nested = children(config.tracking_uri, result["run_id"])
    first, second = result["trials"]
    assert second["status"] == nested[1].info.status == "FINISHED"
    assert first["status"] == nested[0].info.status == ("FINISHED" if forgiven else "FAILED")
    assert first["resumed_at_step"] > 0 if forgiven else first["error"]


@pytest.mark.slow
def test_successive_halving_stops_the_worse_trials_early(make: Make) -> None:
    space = {"optimizer__lr": {"choice": [1e-6, 1e-2, 5e-3, 1e-6]}, "epochs": {"choice": [8]}}
    config = make(trials=8, asha=True, space=space)

    assert run_search(config) == 0

    result = result_of(config)
    stopped = [trial["trial"] for trial in result["trials"] if trial["status"] == "STOPPED"]
    assert result["stopped"] == len(stopped) > 0
    nested = children(config.tracking_uri, result["run_id"])
    assert {nested[number].info.status for number in stopped} == {"KILLED"}
    assert result["best"]["config"]["optimizer.lr"] > 1e-6
    assert any("successive halving" in deviation for deviation in result["deviations"])


@pytest.mark.slow
def test_a_search_of_which_nothing_finishes_fails_with_the_first_error(make: Make, log: Log) -> None:
    config = make(trials=2, space={"optimizer__lr": {"choice": [1e30]}})

    assert run_search(config) == 1

    assert log.messages[-1].startswith("none of 2 trials finished, the first says: NonFiniteError")
    assert log.records[-1].levelname == "ERROR"
    assert result_of(config)["status"] == "FAILED"


def test_what_the_cluster_cannot_hold_is_refused(make: Make) -> None:
    with pytest.raises(
        InputError, match=r"a trial needs 99 CPU, and the cluster can have at most 4: lower `cpus_per_trial`"
    ):
        run_search(make(cpus_per_trial=99.0))
    with pytest.raises(InputError, match=r"a trial needs 0\.5 GPU, .* lower `gpus_per_trial`"):
        run_search(make(gpus_per_trial=0.5))


@pytest.mark.timeout(1200)
def test_a_search_that_was_stopped_and_one_that_was_killed_go_on(make: Make, tracking_uri: str, log: Log) -> None:
    """Both are processes, as a user starts them; the third start is this process."""
    config = make(trials=5, space={"epochs": {"choice": [30]}}, checkpoint_seconds=0.0)
    folder, usual = Path(config.storage) / "search", flatten(SearchConfig(data=""))
    command = [str(JOBS / "search_svhn.py")]
    for name, value in flatten(config).items():
        if value != usual[name]:
            command += [f"--{name.replace('_', '-')}", str(value)]

    def wait_until_nothing_is_written() -> None:
        """Ray ends the trials of a driver that was killed a moment after it; one may finish until then."""
        before: set[Path] = set()
        while before != (now := set(folder.glob("trials/*/*"))):
            before = now
            time.sleep(3)

    def trials_begun() -> set[str]:
        done = {path.parent.name for path in folder.glob("trials/*/outcome.json")}
        return {path.parts[-3] for path in folder.glob("trials/*/checkpoint_*/checkpoint.json")} - done

    with Job(command) as stopped:
        stopped.wait_for("  1/5 |", seconds=300)
        wait_for_a_checkpoint(folder)
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.end() == 143, stopped.said
        assert "SIGTERM: stopped; the same command goes on" in stopped.said
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    statuses = [run.info.status for run in children(tracking_uri, run_id).values()]
    assert set(statuses) <= {"FINISHED", "KILLED"}
    assert "KILLED" in statuses
    assert MlflowClient(tracking_uri).get_run(run_id).info.status == "KILLED"

    begun = trials_begun()

    with Job(command) as killed:
        killed.wait_for("  3/5 |", seconds=300)
        wait_for_a_checkpoint(folder)
        killed.process.kill()
    wait_until_nothing_is_written()
    outcomes = {path.parent.name: path.read_text() for path in folder.glob("trials/*/outcome.json")}
    begun |= trials_begun()  # none, if those that were under way ended before Ray could end them
    assert 3 <= len(outcomes) < 5

    assert run_search(config) == 0
    result, said = result_of(config), "\n".join(log.messages)
    assert result["run_id"] == run_id
    assert f"{len(outcomes)} of 5 trials are done" in said
    assert len(re.findall(r"\| trial +\d+ \|.* ETA ", said)) == 5 - len(outcomes)
    for number, content in outcomes.items():
        assert (folder / "trials" / number / "outcome.json").read_text() == content
        assert f"| trial {int(number):3} |" not in said, "a finished trial is not run again"
    assert begun
    for number in begun:
        assert result["trials"][int(number)]["resumed_at_step"] > 0
    nested = children(tracking_uri, run_id)
    assert len(nested) == 5
    assert {run.info.status for run in nested.values()} == {"FINISHED"}
    assert MlflowClient(tracking_uri).get_run(run_id).info.status == "FINISHED"
