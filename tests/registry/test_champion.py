"""Which version is the champion, and which was: in a real registry."""

import pytest
from mlflow import MlflowClient

from dcgan_dist.errors import InputError
from dcgan_dist.registry.champion import HISTORY, ChampionRegistry
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return connect(tracking_uri)


def add_versions(client: MlflowClient, name: str, count: int, run_id: str | None = None) -> None:
    """Versions without files: moving an alias reads none."""
    client.create_registered_model(name)
    for number in range(1, count + 1):
        client.create_model_version(name, f"s3://nowhere/{number}", run_id, tags={"images_seen": str(100 * number)})


def test_the_champion_moves_and_each_one_before_can_be_restored(client: MlflowClient, tracking_uri: str) -> None:
    add_versions(client, "moves", 3)
    registry = ChampionRegistry(tracking_uri)
    assert registry.champion("moves") is None
    assert registry.champion_before("moves") is None

    for number in (1, 3, 2):
        registry.make_champion(registry.version(f"models:/moves/{number}"))

    restored = []
    while (before := registry.champion_before("moves")) is not None:
        registry.restore("moves")
        now = registry.champion("moves")
        assert now == before
        restored.append(before.version)
    assert restored == ["3", "1"]


def test_making_the_champion_champion_again_changes_nothing(client: MlflowClient, tracking_uri: str) -> None:
    add_versions(client, "again", 2)
    registry = ChampionRegistry(tracking_uri)

    for number in (1, 2, 2):
        registry.make_champion(registry.version(f"models:/again/{number}"))

    assert registry.former("again") == ["1"]


def test_a_former_champion_that_was_deleted_is_passed_over(client: MlflowClient, tracking_uri: str) -> None:
    add_versions(client, "deleted", 3)
    registry = ChampionRegistry(tracking_uri)
    for number in (1, 2, 3):
        registry.make_champion(registry.version(f"models:/deleted/{number}"))
    client.delete_model_version("deleted", "2")

    before = registry.champion_before("deleted")

    assert before is not None
    assert before.version == "1"


def test_quality_is_that_of_the_images_the_version_had_seen(client: MlflowClient, tracking_uri: str) -> None:
    run = TrackedRun.create(tracking_uri, "champions", "run", {}, {})
    for images_seen, value in ((100, 50.0), (200, 20.0), (300, 35.0)):
        run.log_metrics({"quality/frechet_random": value}, images_seen)
    run.finish("FINISHED")
    add_versions(client, "quality", 2, run.run_id)
    registry = ChampionRegistry(tracking_uri)

    version = registry.version("models:/quality/2")

    assert registry.quality(version, "quality/frechet_random") == 20.0
    assert registry.quality(version, "quality/fid") is None


@pytest.mark.parametrize(
    "name", ["models:/none/1", "models:/names/9", "models:/names@nobody", "runs:/1/generator", "here"]
)
def test_what_is_no_version_is_said(name: str, client: MlflowClient, tracking_uri: str) -> None:
    try:
        add_versions(client, "names", 1)
    except Exception:  # made by the case before
        pass

    with pytest.raises(InputError, match=r"no model is registered|has no|names no"):
        ChampionRegistry(tracking_uri).version(name)


def test_a_damaged_history_is_named_and_not_overwritten(client: MlflowClient, tracking_uri: str) -> None:
    add_versions(client, "damaged", 2)
    registry = ChampionRegistry(tracking_uri)
    registry.make_champion(registry.version("models:/damaged/1"))
    client.set_registered_model_tag("damaged", HISTORY, "what")

    with pytest.raises(InputError, match=HISTORY):
        registry.make_champion(registry.version("models:/damaged/2"))

    champion = registry.champion("damaged")
    assert champion is not None
    assert champion.version == "1"
