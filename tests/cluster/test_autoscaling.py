"""Ray's own autoscaler adds and removes real raylets: runs wait for them, train on them, survive their loss."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig
from tests.chaos.conftest import STEPS, is_exact, result_of
from tests.helpers.autoscaling import Nodes, autoscaling_head, lose_a_worker
from tests.helpers.head import status, submit
from tests.helpers.jobs import JOBS
from tests.helpers.search import write_data, write_space
from tests.helpers.training_job import Job, flags

pytestmark = pytest.mark.chaos

IDLE_SECONDS = 15.0
TRAIN = (sys.executable, str(JOBS / "train_lsun.py"))


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """A head without CPU, and up to 2 workers of one CPU each."""
    with autoscaling_head(most=2, idle_seconds=IDLE_SECONDS) as environment:
        yield environment


@pytest.fixture
def nodes(head: dict[str, str]) -> Iterator[Nodes]:
    """The workers, watched from the beginning of a test to its end."""
    watched = Nodes(head["HOME"])
    yield watched
    watched.close()


def journal(config: TrainConfig, event: str) -> list[dict]:
    events = json.loads((Path(config.storage) / config.run_name / "journal.json").read_text())["events"]
    return [entry for entry in events if entry["event"] == event]


def wait_for_success(head: dict[str, str], name: str, job: Job, nodes: Nodes) -> None:
    """The job succeeds, and then its nodes are given back."""
    assert job.end(500) == 0
    seconds = nodes.wait_until_gone(IDLE_SECONDS + 90)
    print(f"nodes {nodes.counts}, the last gone {seconds:.0f} s after {name}")
    assert status(head, name) == "SUCCEEDED"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nodes_come_for_a_run_train_it_and_leave(
    make_config: Callable[..., TrainConfig], head: dict[str, str], nodes: Nodes
) -> None:
    config = make_config(images=160, quality__samples=0, register=False)
    assert nodes.most == 0

    job = submit(head, "short", *TRAIN, *flags(config))
    wait_for_success(head, "short", job, nodes)

    (started,) = journal(config, "ranks started")
    assert len(set(started["nodes"])) == 2, "one rank on each node"
    assert result_of(config)["status"] == "FINISHED"
    assert nodes.most == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_is_lost_is_replaced_and_the_run_goes_on_exactly(
    soak_config: Callable[..., TrainConfig], straight: Callable[[int], dict], head: dict[str, str], nodes: Nodes
) -> None:
    expected, config = straight(STEPS), soak_config(STEPS, hang_seconds=60.0)
    assert nodes.most == 0

    job = submit(head, "run", *TRAIN, *flags(config))
    job.wait_for("| 320/", seconds=200)
    lose_a_worker(head["HOME"])
    wait_for_success(head, "run", job, nodes)

    first, second = journal(config, "ranks started")
    assert nodes.most == 2
    assert len(set(first["nodes"])) == 2, "one rank on each node"
    assert len(set(second["nodes"]) - set(first["nodes"])) == 1, "one node is new"
    assert result_of(config)["status"] == "FINISHED"
    assert is_exact(config, expected)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_makes_the_cluster_grow_and_shrink(head: dict[str, str], nodes: Nodes, tmp_path: Path) -> None:
    data, space = write_data(tmp_path / "svhn"), write_space(tmp_path / "space.json", epochs={"choice": [10]})
    places = ["--storage", str(tmp_path / "runs"), "--run-name", "search", "--space", str(space)]

    job = submit(
        head,
        "search",
        *(sys.executable, str(JOBS / "search_svhn.py"), "--data", str(data), "--protocol", "small"),
        *("--trials", "6", "--repeats", "1", *places),
    )
    wait_for_success(head, "search", job, nodes)

    result = json.loads((tmp_path / "runs" / "search" / "result.json").read_text())
    assert {trial["status"] for trial in result["trials"]} == {"FINISHED"}
    assert nodes.most == 2
