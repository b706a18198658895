"""jobs/promote.py: the gate opens for a checked, known, not worse version and for no other."""

import json
from pathlib import Path

import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.registry.champion import ChampionRegistry
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect
from tests.helpers.jobs import load_job
from tests.helpers.tracking_places import new_database

promote = load_job("promote")
HASH = "a" * 64


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_database(tmp_path_factory.mktemp("promote"))


class Model:
    """A registered model whose versions have tags and a quality, but no files."""

    def __init__(self, tracking_uri: str, name: str) -> None:
        self.uri, self.name, self.client = tracking_uri, name, connect(tracking_uri)
        self.client.create_registered_model(name)

    def add(self, quality: float | None, **tags: str) -> str:
        run = TrackedRun.create(self.uri, "promote", "run", {}, {})
        if quality is not None:
            run.log_metrics({"quality/frechet_random": quality}, 640)
        run.finish("FINISHED")
        good = {"memorization": "pass", "manifest_hash": HASH, "memorization_manifest": HASH, "images_seen": "640"}
        made = self.client.create_model_version(self.name, "file:///nowhere", run.run_id, tags=good | tags)
        return f"models:/{self.name}/{made.version}"

    def promote(self, uri: str, *flags: str) -> int:
        return promote(["--model", uri, "--tracking-uri", self.uri, *flags])

    @property
    def champion(self) -> str:
        champion = ChampionRegistry(self.uri).champion(self.name)
        return champion.uri if champion else ""


def test_a_good_version_becomes_champion_and_a_rollback_undoes_it(
    tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(tracking_uri, "good-generator")
    first, second = model.add(12.0), model.add(12.0)

    assert model.promote(first) == 0
    assert model.promote(second) == 0
    assert model.champion == second
    assert capsys.readouterr().out.count("yes") == 8  # every check of both
    assert model.promote(second, "--rollback", "--dry-run") == 0
    assert model.champion == second
    assert model.promote(second, "--rollback") == 0
    assert model.champion == first
    assert model.promote(second, "--rollback") == 1
    assert model.champion == first


def test_the_checks_are_written_as_json_whatever_they_say(tracking_uri: str, tmp_path: Path) -> None:
    model, file = Model(tracking_uri, "written-generator"), tmp_path / "checks.json"
    for verdict in ("pass", "fail"):
        uri = model.add(12.0, memorization=verdict)

        code = model.promote(uri, "--dry-run", "--json", str(file))

        written = json.loads(file.read_text())
        assert (written["model"], written["passed"], code) == (uri, verdict == "pass", int(verdict == "fail"))
        assert any(check["words"] == f"the verdict is {verdict}" for check in written["checks"])


@pytest.mark.parametrize(
    ("quality", "tags", "reason"),
    [
        (10.0, {"memorization": "fail"}, "the verdict is fail"),
        (10.0, {"memorization": "inconclusive"}, "the verdict is inconclusive"),
        (10.0, {"memorization": ""}, "run jobs/check_memorization.py"),
        (10.1, {}, "worse than the champion's 10"),
        (None, {}, "not measured"),
        (10.0, {"manifest_hash": "unknown", "memorization_manifest": "unknown"}, "no manifest recorded"),
        (10.0, {"memorization_manifest": "b" * 64}, "other images"),
    ],
)
def test_one_failing_check_keeps_the_champion_and_is_printed(
    quality: float | None, tags: dict[str, str], reason: str, tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(tracking_uri, f"bad-{abs(hash((quality, *tags.items())))}-generator")
    champion = model.add(10.0)
    assert model.promote(champion) == 0
    capsys.readouterr()

    assert model.promote(model.add(quality, **tags)) == 1

    out = capsys.readouterr().out
    assert model.champion == champion
    assert reason in out
    assert out.count("NO ") == 1
    assert out.count("yes") == 3


def test_a_check_against_images_without_manifest_is_no_yes(
    tracking_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(tracking_uri, "folder-generator")

    assert model.promote(model.add(1.0, memorization_manifest="")) == 0

    out = capsys.readouterr().out
    assert "-    checked data: not compared" in out
    assert out.count("yes") == 3


def test_only_generators_can_be_promoted(tracking_uri: str) -> None:
    model = Model(tracking_uri, "dcgan-drawn-discriminator")

    with pytest.raises(InputError, match="only models called NAME-generator"):
        model.promote(model.add(1.0))

    assert model.champion == ""


def test_a_dry_run_says_what_would_be_and_moves_nothing(tracking_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model(tracking_uri, "dry-generator")

    assert model.promote(model.add(1.0), "--dry-run") == 0
    assert model.promote(model.add(1.0, memorization="fail"), "--dry-run") == 1

    assert model.champion == ""
    assert "would be models:/dry-generator/1" in capsys.readouterr().out


def test_a_version_that_does_not_exist_is_named(tracking_uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model is registered as 'nothing'"):
        promote(["--model", "models:/nothing/1", "--tracking-uri", tracking_uri])
    with pytest.raises(InputError, match="no tracking database"):
        promote(["--model", "models:/good-generator/1", "--tracking-uri", f"sqlite:///{tmp_path}/none.db"])
    assert not list(tmp_path.iterdir())
