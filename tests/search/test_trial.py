"""A trial without a cluster: it goes on exactly, and what cannot be trained is an outcome."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dcgan_dist.config import SupervisedConfig, replace
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.presets import SVHN_SUPERVISED
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.search.few_labels import Draw, open_few_labels
from dcgan_dist.search.trial import OUTCOME, TEST, VALIDATION, Context, Task, run_task
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.training.whole_checkpoint import load_state


@pytest.fixture(scope="module")
def draw() -> Draw:
    return open_few_labels("digits").draw(0)


@pytest.fixture
def make(draw: Draw, tmp_path: Path) -> Callable[..., Context]:
    """Context of one small trial, in a folder of its own."""

    def context(name: str = "trial", *, keep_network: bool = True, **changes: object) -> Context:
        config: SupervisedConfig = replace(SVHN_SUPERVISED, "classifier.model.discriminator_width", 2)
        small = {"batch_size": 100, "epochs": 6, "dropout": 0.3, "optimizer.lr": 5e-3}
        for path, value in (small | {k.replace("__", "."): v for k, v in changes.items()}).items():
            config = replace(config, path, value)
        return Context(
            storage=str(tmp_path),
            run_name="search",
            tasks={7: Task(name=name, config=dataclasses.asdict(config), draw=0)},
            draws={0: draw},
            test=draw.validation if keep_network else None,
            keep_network=keep_network,
            measurements=3,
            checkpoint_seconds=0.0,
            threads=1,
        )

    return context


def network_of(context: Context) -> dict[str, torch.Tensor]:
    store = CheckpointStore(RunFolder(context.storage, f"search/{context.tasks[7].name}"))
    path = store.newest_whole()
    assert path is not None
    return load_state(Path(path))[1]["network"]


def test_a_trial_reports_its_measurements_and_leaves_an_outcome_and_a_network(make: Callable[..., Context]) -> None:
    told: list[tuple[dict[str, float], int]] = []
    context = make()

    outcome = run_task(context, 7, lambda metrics, seen: told.append((metrics, seen)))

    assert [seen for _, seen in told] == [2000, 4000, 6000]
    assert all(metrics[VALIDATION] >= 0 and metrics["loss/train"] > 0 for metrics, _ in told)
    assert outcome["status"] == "FINISHED"
    assert outcome["validation_error_percent"] == told[-1][0][VALIDATION] < 60
    assert outcome["test_error_percent"] == told[-1][0][TEST] == told[-1][0][VALIDATION], (
        "measured on the same images here"
    )
    assert RunFolder(context.storage, "search/trial").read_json(OUTCOME) == outcome
    config = replace(SVHN_SUPERVISED, "classifier.model.discriminator_width", 2).classifier
    Classifier(config).load_state_dict(network_of(context))


def test_a_trial_that_died_goes_on_from_its_checkpoint_to_the_same_network(make: Callable[..., Context]) -> None:
    straight, broken = make("straight"), make("broken")
    expected = run_task(straight, 7, lambda metrics, seen: None)

    def die(metrics: dict[str, float], seen: int) -> None:
        if seen == 4000:
            raise KeyboardInterrupt  # as a process that is taken away: nothing is written after it

    with pytest.raises(KeyboardInterrupt):
        run_task(broken, 7, die)
    told: list[int] = []
    outcome = run_task(broken, 7, lambda metrics, seen: told.append(seen))

    assert expected["resumed_at_step"] == 0
    assert outcome["resumed_at_step"] == 30, "the newest checkpoint is that of the epoch before"
    assert told == [4000, 6000]
    same = {"seconds", "resumed_at_step"}
    assert {k: v for k, v in outcome.items() if k not in same} == {k: v for k, v in expected.items() if k not in same}
    for name, value in network_of(straight).items():
        assert torch.equal(value, network_of(broken)[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer__lr": 1e30}, r"NonFiniteError: .*became"),
        ({"classifier__model__discriminator_width": 10**11}, "out of memory"),
    ],
)
def test_a_configuration_that_cannot_be_trained_is_an_outcome(
    changes: dict[str, float], message: str, make: Callable[..., Context]
) -> None:
    context = make(keep_network=False, **changes)

    outcome = run_task(context, 7, lambda metrics, seen: None)

    assert outcome["status"] == "FAILED"
    assert re.search(message, outcome["error"])
    assert RunFolder(context.storage, "search/trial").read_json(OUTCOME) == outcome


def test_a_fault_of_the_program_is_no_outcome(make: Callable[..., Context]) -> None:
    def broken(metrics: dict[str, float], seen: int) -> None:
        raise TypeError("a fault")

    context = make()

    with pytest.raises(TypeError, match="a fault"):
        run_task(context, 7, broken)
    assert RunFolder(context.storage, "search/trial").read_json(OUTCOME) is None


def test_trials_of_the_search_leave_no_checkpoints_behind(make: Callable[..., Context]) -> None:
    context = make(keep_network=False)

    outcome = run_task(context, 7, lambda metrics, seen: None)

    assert outcome["test_error_percent"] is None, "choices are still to be made: the test images are not looked at"
    assert [path.name for path in (Path(context.storage) / "search/trial").iterdir()] == [OUTCOME]
