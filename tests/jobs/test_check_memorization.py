"""jobs/check_memorization.py from files to result, report and registry."""

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.cli.result_file import only_job
from dcgan_dist.cluster.tasks import TASK_TIME
from dcgan_dist.config import AugmentConfig
from dcgan_dist.errors import InputError
from dcgan_dist.memorization import image_sets
from dcgan_dist.memorization import job as memorization_job
from dcgan_dist.memorization.check import learn_coder
from dcgan_dist.memorization.image_sets import read_image_set
from dcgan_dist.memorization.trained_with import trained_with
from dcgan_dist.models.generator import Generator
from dcgan_dist.presets import preset
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.champion import ChampionRegistry
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.registry import register_network
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import load_job
from tests.helpers.networks import drawn_generator
from tests.helpers.object_store import s3_bucket
from tests.helpers.tracking_places import new_database
from tests.memorization.test_image_sets import prepare, save, smooth

check = load_job("check_memorization")
DIGITS = preset("mnist28")


def test_a_replay_fails_and_the_report_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = smooth(60)
    save(train, tmp_path / "train")
    save(train[:40], tmp_path / "generated")
    save(smooth(50, seed=1), tmp_path / "held")

    places = {"samples": "generated", "train": "train", "held-out": "held", "out": "out"}
    code = check([word for flag, name in places.items() for word in (f"--{flag}", str(tmp_path / name))])

    assert code == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["job"], result["verdict"]) == ("check_memorization", "fail")
    assert result["copy_rate"]["low"] > 0.9
    said = capsys.readouterr()
    assert "verdict: fail" in said.out
    assert "fewer than 1,000 held-out images the verdict may be fail, but not pass" in said.out + said.err
    html = (tmp_path / "out" / "report.html").read_text()
    assert "Copies: fail" in html
    assert (
        html.count("<img") == 2 * 12 + 5
    )  # closest pairs of samples and of held-out images, power, scores, three spaces
    assert "p_normal" not in html
    assert (tmp_path / "out" / "closest_pairs.png").is_file()
    assert not re.search(r'src="(?!data:)', html)
    assert str(tmp_path) not in html + json.dumps(result)


def test_training_images_are_read_by_as_many_tasks_as_are_asked_for(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sets, "PER_TASK", 25)
    prepare(save(smooth(60), tmp_path / "train"), tmp_path / "shards")
    tasks, results = [], []
    for cpus in ("1", "2"):
        places = {"samples": "train", "train": "shards", "out": cpus}
        flags = [word for flag, name in places.items() for word in (f"--{flag}", str(tmp_path / name))]
        before = TASK_TIME.number
        assert check([*flags, "--cpus", cpus]) == 0
        tasks.append(TASK_TIME.number - before)
        results.append(json.loads((tmp_path / cpus / "result.json").read_text()))

    assert tasks == [0, 3]
    assert results[0]["spaces"] == results[1]["spaces"]
    assert results[0]["data"] == results[1]["data"]


def test_of_a_generator_with_classes_those_asked_for_are_drawn(tmp_path: Path) -> None:
    config = DIGITS
    save_checkpoint(tmp_path / "digits", config, Progress(), build_players(config).state())
    drawn = sample_images(load_generator(str(tmp_path / "digits")), 40, seed=0, labels=[7, 1] * 20)
    np.save(tmp_path / "train.npy", to_uint8(drawn, config.model.output).numpy())
    np.save(tmp_path / "held.npy", smooth(50))

    places = {"model": "digits", "train": "train.npy", "held-out": "held.npy", "out": "out"}
    arguments = [word for flag, name in places.items() for word in (f"--{flag}", str(tmp_path / name))]
    assert check([*arguments, "--n", "40", "--classes", "7", "1"]) == 0

    assert json.loads((tmp_path / "out" / "result.json").read_text())["copy_rate"]["copies"] == 40
    with pytest.raises(InputError, match="`classes` are for `model`"):
        check(["--samples", *arguments[1:], "--classes", "7"])


def test_the_verdict_is_a_tag_of_the_registered_version_and_the_report_a_file_of_its_run(tmp_path: Path) -> None:
    uri = new_database(tmp_path)
    generator = drawn_generator()
    run = TrackedRun.create(uri, "check", "run", {}, {})
    register_network(run, generator, "dcgan-drawn-generator", card="card", tags={"manifest_hash": "c" * 64})
    run.finish("FAILED")
    images = save(smooth(30), tmp_path / "images")
    prepare(images, tmp_path / "shards")

    model = "models:/dcgan-drawn-generator@candidate"
    arguments = ["--model", model, "--tracking-uri", uri, "--n", "20", "--out", str(tmp_path / "out")]
    assert check([*arguments, "--train", str(tmp_path / "shards")]) == 0

    tags = ChampionRegistry(uri).version(model).tags
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert tags["memorization"] == result["verdict"] == "inconclusive"
    assert (result["model"], result["asked"]) == ("models:/dcgan-drawn-generator/1", model)
    assert result["command"] == (f"python jobs/check_memorization.py --train shards --out out --model {model} --n 20")
    assert "held-out" in tags["memorization_reasons"]
    assert re.fullmatch("[0-9a-f]{64}", tags["memorization_manifest"])
    client = connect(uri)
    assert {file.path for file in client.list_artifacts(run.run_id, "memorization")} == {
        "memorization/report.html",
        "memorization/result.json",
    }
    assert client.get_run(run.run_id).info.status == "FAILED"  # as it was


def test_an_alias_that_moves_during_the_check_takes_the_verdict_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, name = new_database(tmp_path), "dcgan-drawn-generator"
    network = drawn_generator()
    run = TrackedRun.create(uri, "check", "run", {}, {})
    register_network(run, network, name, card="card", tags={})
    np.save(tmp_path / "train.npy", smooth(20))

    def learn_meanwhile(*images, **seed):
        register_network(run, network, name, card="card", tags={})
        return learn_coder(*images, **seed)

    monkeypatch.setattr(memorization_job, "learn_coder", learn_meanwhile)
    places = ["--train", str(tmp_path / "train.npy"), "--out", str(tmp_path / "out")]
    arguments = ["--tracking-uri", uri, "--n", "20", *places]
    assert check(["--model", f"models:/{name}@candidate", *arguments]) == 0

    first, second = (ChampionRegistry(uri).version(f"models:/{name}/{number}") for number in (1, 2))
    assert ChampionRegistry(uri).version(f"models:/{name}@candidate") == second
    assert first.tags["memorization"] == "inconclusive"
    assert "memorization" not in second.tags


class Registered:
    """A registered generator with a run of some settings, and 30 training images of twice its size."""

    def __init__(self, folder: Path, generator: Generator, params: dict[str, Any]) -> None:
        self.uri, self.out = new_database(folder), folder / "out"
        run = TrackedRun.create(self.uri, "check", "run", params, {})
        register_network(run, generator, "dcgan-drawn-generator", card="card", tags={"memorization": "pass"})
        np.save(folder / "train.npy", smooth(30, side=2 * generator.config.image_size))
        self.train, self.model = str(folder / "train.npy"), "models:/dcgan-drawn-generator/1"

    def check(self, *arguments: str, out: str = "") -> dict[str, Any]:
        flags = ["--model", self.model, "--tracking-uri", self.uri, "--n", "20", "--train", self.train]
        assert check([*flags, "--out", out or str(self.out), *arguments]) == 0
        return json.loads((self.out / "result.json").read_text())

    @property
    def tag(self) -> str:
        return ChampionRegistry(self.uri).version(self.model).tags["memorization"]


def test_images_are_cut_and_mirrored_as_the_run_of_the_model_recorded(tmp_path: Path) -> None:
    model = Registered(tmp_path, drawn_generator(), {"data.crop": "centre", "augment.flip": True})

    result = model.check()

    cut = read_image_set(model.train, "train", side=32, crop="centre")
    assert result["data"]["train"]["sha256"] == cut.sha256
    assert (result["crop"], result["flip"]) == ("centre", True)
    assert model.check("--flip")["command"].split()[-3:] == ["--n", "20", "--flip"]
    with pytest.raises(InputError, match="`crop=resize` would compare with other pictures"):
        model.check("--crop", "resize")


def test_a_checkpoint_says_how_it_was_trained(tmp_path: Path) -> None:
    config = preset("demo32")
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, crop="centre"), augment=AugmentConfig(flip=True)
    )
    save_checkpoint(tmp_path / "rooms", config, Progress(), build_players(config).state())

    assert trained_with(str(tmp_path / "rooms"), "", crop="trained", flip=False) == ("centre", True)


def test_samples_of_some_classes_tag_the_version_only_if_they_are_copies(tmp_path: Path) -> None:
    generator = drawn_generator("mnist28")
    model = Registered(tmp_path, generator, {})

    result = model.check("--classes", "7", "1")

    assert result["verdict"] == "inconclusive"
    assert "only 2 of the generator's 10 classes were drawn" in result["reasons"]
    assert model.tag == "pass"  # of an earlier check of all of them
    np.save(tmp_path / "train.npy", to_uint8(sample_images(generator, 20, seed=0, labels=[7, 1] * 10)).numpy())
    np.save(tmp_path / "held.npy", smooth(50))
    assert model.check("--classes", "7", "1", "--held-out", str(tmp_path / "held.npy"))["verdict"] == "fail"
    assert model.tag == "fail"


def test_results_lie_in_their_store_when_the_registry_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("tracking refused")

    model = Registered(tmp_path, drawn_generator(), {})
    monkeypatch.setattr(ChampionRegistry, "tag", refuse)
    with s3_bucket() as bucket:
        with pytest.raises(InputError, match="tracking refused"):
            model.check(out=f"{bucket}/checked")
        stored = {Path(name).name for name in StoredFolder(f"{bucket}/checked").files("")}

    assert stored == {"result.json", "report.html", "closest_pairs.png"}


def test_one_check_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", smooth(20))
    train = str(tmp_path / "train.npy")

    with only_job(tmp_path / "out"), pytest.raises(InputError, match="in use by another job"):
        check(["--samples", train, "--train", train, "--out", str(tmp_path / "out")])


def test_a_generator_that_draws_no_images_is_found_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Registered(tmp_path, drawn_generator(), {})
    broken = drawn_generator()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    monkeypatch.setattr(memorization_job, "load_generator", lambda *_: broken)
    monkeypatch.setattr(memorization_job.RealImages, "read", lambda *_, **__: pytest.fail("read"))

    with pytest.raises(InputError, match="`model` models:/dcgan-drawn-generator/1: images hold NaN"):
        model.check()


def test_what_cannot_be_read_of_any_set_is_listed(tmp_path: Path) -> None:
    for seed, name in enumerate(("samples", "train", "held")):
        save(smooth(200, seed=seed), tmp_path / name)
        (tmp_path / name / "torn.png").write_bytes(b"no image")

    places = {"samples": "samples", "train": "train", "held-out": "held", "out": "out"}
    assert check([word for flag, name in places.items() for word in (f"--{flag}", str(tmp_path / name))]) == 0

    out = tmp_path / "out"
    result = json.loads((out / "result.json").read_text())
    assert {name: (data["unreadable"], data["given"]) for name, data in result["data"].items()} == dict.fromkeys(
        ("samples", "train", "held_out"), (1, 201)
    )
    assert "1 samples, 1 training, 1 held-out images that cannot be read" in (out / "report.html").read_text()
    with (out / "unreadable.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[:2] for row in rows] == [
        ["set", "key"],
        ["samples", "torn.png"],
        ["training", "torn.png"],
        ["held-out", "torn.png"],
    ]
    assert all("undecodable" in row[2] for row in rows[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "TRAIN"], "either --model"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--model", "models:/a/1"], "either --model"),
        (["--train", "TRAIN", "--samples", "nowhere"], "nowhere does not exist"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--n", "0"], "--n 0"),
        (["--train", "FEW", "--samples", "TRAIN"], "at least 9"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--held-out", "nowhere"], "nowhere does not exist"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--seed", "-1"], "--seed -1"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--cpus", "-1"], "--cpus -1"),
        (
            ["--train", "TRAIN", "--model", "DIGITS", "--classes", "3", "10"],
            "--classes 3, 10: the generator has 10 classes",
        ),
        (["--train", "TRAIN", "--model", "DIGITS", "--crop", "centre"], "give --crop resize"),
    ],
)
def test_wrong_input_is_named_and_nothing_written(arguments: list[str], message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", smooth(20))
    np.save(tmp_path / "few.npy", smooth(5))
    save_checkpoint(tmp_path / "digits", DIGITS, Progress(), build_players(DIGITS).state())
    places = {
        name: str(tmp_path / place)
        for name, place in (("TRAIN", "train.npy"), ("FEW", "few.npy"), ("DIGITS", "digits"))
    }

    with pytest.raises(InputError) as refused:
        check([places.get(flag, flag) for flag in arguments] + ["--out", str(tmp_path / "out")])

    assert message in render_flags(refused.value)
    assert not (tmp_path / "out").exists()


def test_the_same_images_twice_are_named_and_nothing_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "train.npy", smooth(60))
    train = str(tmp_path / "train.npy")

    check(["--samples", train, "--train", train, "--held-out", train, "--out", str(tmp_path / "out")])

    assert "the same 60 images" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["verdict"] == "inconclusive"
    assert "the same 60 images" in result["reasons"][0]
    assert result["held_out"] == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("samples", "verdict"), [("cifar10-test-00.tar", "pass"), ("cifar10-train-03.tar", "fail")])
def test_real_images_posing_as_samples_pass_and_replayed_ones_fail(
    samples: str, verdict: str, real_data: Path, tmp_path: Path
) -> None:
    folder = real_data / "cifar10"
    arguments = ["--samples", str(folder / samples), "--held-out", str(folder / "cifar10-test-01.tar")]
    train = map(str, sorted(folder.glob("cifar10-train-*.tar")))

    check([*arguments, "--out", str(tmp_path), "--train", *train])

    assert json.loads((tmp_path / "result.json").read_text())["verdict"] == verdict
