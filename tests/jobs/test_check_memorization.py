"""jobs/check_memorization.py from files to result, report and registry."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from dcgan_dist.memorization import job as memorization_job
from dcgan_dist.memorization.check import learn_coder
from dcgan_dist.presets import preset
from dcgan_dist.quality.pictures import to_uint8
from dcgan_dist.quality.sampling import sample_images
from dcgan_dist.registry.champion import ChampionRegistry
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.registry import register_network
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import load_job
from tests.helpers.networks import drawn_generator
from tests.helpers.tracking_places import new_database
from tests.memorization.test_image_sets import prepare, save, smooth

check = load_job("check_memorization")


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


def test_of_a_generator_with_classes_those_asked_for_are_drawn(tmp_path: Path) -> None:
    config = preset("mnist28")
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "TRAIN"], "either --model"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--model", "models:/a/1"], "either --model"),
        (["--train", "TRAIN", "--samples", "nowhere"], "nowhere does not exist"),
        (["--train", "TRAIN", "--samples", "TRAIN", "--n", "0"], "--n 0"),
        (["--train", "FEW", "--samples", "TRAIN"], "at least 9"),
    ],
)
def test_wrong_input_is_named_and_nothing_written(arguments: list[str], message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", smooth(20))
    np.save(tmp_path / "few.npy", smooth(5))
    places = {"TRAIN": str(tmp_path / "train.npy"), "FEW": str(tmp_path / "few.npy")}

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
    assert "only 0 held-out images" in result["reasons"][1]


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
