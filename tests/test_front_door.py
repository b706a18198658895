"""The public names: quick to import, and doing what the rooms do."""

import doctest
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import dcgan_dist
from dcgan_dist.config import TrainConfig, from_dict, replace
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import preset
from dcgan_dist.registry.registry import register_network
from dcgan_dist.runs.plan import plan_run, run_batches
from dcgan_dist.tracking.runs import TrackedRun
from tests.helpers.jobs import draw_rooms
from tests.helpers.networks import drawn_generator, drawn_network
from tests.helpers.tracking_places import new_database
from tests.memorization.test_image_sets import save, smooth


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("rooms"), 100, "--shard-samples", "30", "--val-fraction", "0.2")


pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def workspace(rooms: Path, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory that the examples take for granted: shards, photographs, and a registry for what is trained."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "shards").mkdir()
    (folder / "shards" / "rooms").symlink_to(rooms)
    save(smooth(260), folder / "photos")
    tracking_uri = new_database(folder)
    run = TrackedRun.create(tracking_uri, "search", "a run", {}, {})
    classifier, _ = drawn_network("classifier", "svhn32")
    register_network(run, classifier, "dcgan-svhn-supervised", card="A card.", tags={})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
        yield folder


def run_examples(documented: Any) -> dict[str, Any]:
    """Execute the examples in a docstring; returns the names they define."""
    names: dict[str, Any] = {}
    examples = doctest.DocTestParser().get_examples(documented.__doc__)
    assert examples
    for example in examples:
        exec(example.source, names)
    return names


@pytest.fixture(scope="module")
def trained(workspace: Path) -> dict[str, Any]:
    """Result of the run that the example of `train` makes."""
    return run_examples(dcgan_dist.train)["result"]


def test_training_from_python_writes_registers_and_goes_on(trained: dict[str, Any], workspace: Path) -> None:
    assert (trained["job"], trained["status"], trained["config"]["epochs"]) == ("train", "FINISHED", 2)
    assert trained["images_seen"] == trained["images"] > 0
    config = from_dict(TrainConfig, trained["config"])
    again = dcgan_dist.train(config)
    planned = dcgan_dist.train(config, epochs=3, dry_run=True)

    assert (again, planned) == (trained, {})
    with pytest.raises(InputError, match="either a config or the name of a `preset`"):
        dcgan_dist.train()


@pytest.mark.parametrize("name", [name for name in dcgan_dist.__all__ if name != "train"])
def test_the_example_of_every_public_function_runs(name: str, trained: dict[str, Any]) -> None:
    run_examples(getattr(dcgan_dist, name))


def test_the_example_of_the_package_runs(trained: dict[str, Any]) -> None:
    assert run_examples(dcgan_dist)["images"].shape == (16, 3, 32, 32)


def test_importing_the_package_loads_none_of_its_rooms_and_no_torch() -> None:
    code = "import sys; before = set(sys.modules); import dcgan_dist; print(*sorted(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert [name for name in loaded if name.startswith("dcgan_dist")] == ["dcgan_dist"]
    assert not {"torch", "ray", "mlflow", "numpy"} & set(loaded)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dcgan_dist.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


def test_opening_shards_is_the_function_of_its_room() -> None:
    assert dcgan_dist.open_shards is load_manifest


@pytest.mark.parametrize("rank", [0, 1])
def test_streamed_batches_are_those_that_a_run_reads(rooms: Path, rank: int) -> None:
    config = replace(replace(preset("demo32"), "shards", str(rooms)), "data.batch_size", 16)
    plan = plan_run(replace(config, "seed", 3))
    run = run_batches(plan, rank=rank, world_size=2)

    ours = list(dcgan_dist.stream_batches(rooms, batch_size=16, seed=3, rank=rank, world_size=2, epochs=2))

    assert len(ours) == 2 * plan.shard_plan.steps_per_epoch
    for batch in ours:
        assert batch.images.dtype == torch.uint8
        assert torch.equal(batch.images, next(run).images)
    run.close()


def test_a_stream_goes_on_at_a_step(rooms: Path) -> None:
    whole = list(dcgan_dist.stream_batches(rooms, batch_size=16))

    resumed = list(dcgan_dist.stream_batches(dcgan_dist.open_shards(str(rooms)), batch_size=16, start_step=2))

    assert len(resumed) == len(whole) - 2 > 0
    assert all(torch.equal(a.images, b.images) for a, b in zip(resumed, whole[2:], strict=True))


def test_samples_are_bytes_and_show_the_wanted_classes() -> None:
    generator = drawn_generator("mnist28")

    taking_turns = dcgan_dist.sample_images(generator, 12)
    in_turn = dcgan_dist.sample_images(generator, 12, labels=[i % 10 for i in range(12)])
    others = dcgan_dist.sample_images(generator, 12, labels=[7] * 12)

    assert (taking_turns.shape, taking_turns.dtype) == ((12, 1, 28, 28), torch.uint8)
    assert torch.equal(in_turn, taking_turns)
    assert torch.equal(others[7], taking_turns[7])
    assert not torch.equal(others[0], taking_turns[0])


@pytest.mark.parametrize(("name", "labels"), [("mnist28", [10] * 2), ("mnist28", [1]), ("demo32", [0, 0])])
def test_labels_that_do_not_fit_the_generator_are_refused(name: str, labels: list[int]) -> None:
    with pytest.raises(InputError, match="class"):
        dcgan_dist.sample_images(Generator(preset(name).model).eval(), 2, labels=labels)
