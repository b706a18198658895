"""The jobs that fill the paper's tables, on small data whose answers are known, and what they refuse."""

import gzip
import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from dcgan_dist.config import replace
from dcgan_dist.data.shards.images import encode_jpeg
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.sources.cifar10 import CLASSES
from dcgan_dist.presets import preset
from dcgan_dist.tables import svm_c_grid
from dcgan_dist.tables.patch_features import PatchFeatures
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import load_job
from tests.helpers.search import write_mat
from tests.helpers.shards import damage_sample
from tests.helpers.tars import tar_of
from tests.helpers.tracking_places import new_database

evaluate_svhn, evaluate_cifar10, evaluate_mnist = (
    load_job(f"evaluate_{name}") for name in ("svhn", "cifar10", "mnist")
)
prepare_svhn = load_job("prepare_svhn")


def checkpoint(folder: Path, name: str, **changes: Any) -> str:
    config = preset(name)
    for path, value in changes.items():
        config = replace(config, path.replace("__", "."), value)
    save_checkpoint(folder, config, Progress(), build_players(config).state())
    return str(folder)


@pytest.fixture(scope="module")
def discriminator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small one of 32 pixels: 16 x 28 features."""
    return checkpoint(tmp_path_factory.mktemp("model") / "d", "demo32", model__discriminator_width=4)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A narrow conditional one of digits, untrained."""
    return checkpoint(tmp_path_factory.mktemp("model") / "g", "mnist28", model__generator_width=4)


def pictures(n: int, size: int, channels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright bar whose place is the class: (n, size, size, channels) uint8, (n,)."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    images = draw.integers(0, 60, (n, size, size, channels))
    for i, label in enumerate(labels):
        images[i, 2 * label : 2 * label + 4] += 150
    return images.astype(np.uint8), labels


def svhn(folder: Path, labels: np.ndarray | None = None, split: str = "train") -> str:
    images, classes = pictures(200, 32, 3, 0)
    return str(write_mat(folder / "svhn", split, images, classes if labels is None else labels))


def mnist(folder: Path, classes: np.ndarray | None = None) -> str:
    """Official files of 300 and 50 digits, whose classes come in turn or are these (300,)."""
    folder = folder / "mnist"
    folder.mkdir()
    for name, n, seed in (("train", 300, 0), ("t10k", 50, 1)):
        images, labels = pictures(n, 28, 1, seed)
        labels = labels if classes is None else classes[-n:]
        header = struct.pack(">IIII", 2051, n, 28, 28)
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.tobytes())
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 2049, n) + labels.astype(np.uint8).tobytes())
    return str(folder)


def cifar(folder: Path, per_class: int = 140) -> str:
    images = (
        (f"{split}/{i:05}_{CLASSES[label]}.jpg", encode_jpeg(image))
        for split, n, seed in (("train", 10 * per_class, 0), ("test", 60, 1))
        for i, (image, label) in enumerate(zip(*pictures(n, 32, 3, seed), strict=True))
    )
    folder = folder / "cifar"
    folder.mkdir()
    (folder / "cifar10.tar").write_bytes(tar_of(images))
    return str(folder)


def result(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


def fill_small(job: Any, model: str, data: str, out: Path, *flags: str) -> dict[str, Any]:
    """The result of the small protocol without MLflow."""
    job(["--model", model, "--data", data, "--out", str(out), "--protocol", "small", "--no-track", *flags])
    return result(out)


def test_svhn_small_writes_our_row_beside_the_paper_s_and_mlflow_holds_it(discriminator: str, tmp_path: Path) -> None:
    tracking = new_database(tmp_path)
    arguments = ["--model", discriminator, "--data", svhn(tmp_path), "--out", str(tmp_path / "out")]

    assert evaluate_svhn([*arguments, "--protocol", "small", "--tracking-uri", tracking]) == 0

    written = result(tmp_path / "out")
    assert written["row"]["figures"]["test"] < 5  # bars in ten places are easy
    assert written["paper_row"]["figures"]["test"] == 22.48
    assert "148 train and 52 test" in written["deviations"][0]
    assert written["deviations"][1].startswith("trained on: preset demo32 on rooms, 0 images")
    assert {"random discriminator of the same shape", "pixels"} <= {row["name"] for row in written["rows"]}
    run = MlflowClient(tracking).get_run(written["mlflow_run_id"])
    assert run.data.metrics["table/test"] == pytest.approx(written["row"]["figures"]["test"])
    assert run.info.status == "FINISHED"


def test_a_preset_before_training_is_the_random_row_of_a_model_of_its_shape(tmp_path: Path) -> None:
    data, model = svhn(tmp_path), checkpoint(tmp_path / "d", "demo32")

    results = [
        fill_small(evaluate_svhn, name, data, tmp_path / str(number), "--seed", "3")
        for number, name in enumerate((model, "untrained:demo32"))
    ]

    trained, untrained = ({row["details"].get("key"): row["figures"] for row in r["rows"]} for r in results)
    assert untrained["model"] == trained["random"]
    assert "random" not in untrained  # it would be the same row again
    assert "trained on: nothing: preset demo32 before training" in results[1]["deviations"]
    assert untrained["pixels"] == trained["pixels"]


def test_a_tracking_server_that_does_not_answer_is_found_out_before_anything_is_measured(
    discriminator: str, tmp_path: Path
) -> None:
    arguments = ["--model", discriminator, "--data", svhn(tmp_path), "--out", str(tmp_path / "out")]

    with pytest.raises(InputError, match="does not answer"):
        evaluate_svhn([*arguments, "--protocol", "small", "--tracking-uri", "http://127.0.0.1:9"])

    assert not (tmp_path / "out").exists()


def test_shards_and_the_official_files_give_the_same_figures_and_features_are_made_once(
    discriminator: str, tmp_path: Path
) -> None:
    data = svhn(tmp_path)
    prepare_svhn(["--source", data, "--out", str(tmp_path / "shards"), "--cpus", "1"])

    of_files = fill_small(evaluate_svhn, discriminator, data, tmp_path / "a", "--no-controls")
    of_shards = [discriminator, str(tmp_path / "shards"), tmp_path / "b", "--no-controls"]
    fill_small(evaluate_svhn, *of_shards)
    parts = sorted((tmp_path / "b" / "features").rglob("*.np*"))
    times = [path.stat().st_mtime_ns for path in parts]

    again = fill_small(evaluate_svhn, *of_shards, "--seed", "1")["row"]["figures"]
    assert (
        again
        == fill_small(evaluate_svhn, discriminator, data, tmp_path / "c", "--no-controls", "--seed", "1")["row"][
            "figures"
        ]
    )
    assert fill_small(evaluate_svhn, *of_shards)["row"]["figures"] == of_files["row"]["figures"]
    assert len(parts) == 2  # statistics and one part
    assert [path.stat().st_mtime_ns for path in parts] == times


def test_cifar10_small_has_a_random_and_a_kmeans_row(discriminator: str, tmp_path: Path) -> None:
    data, few = cifar(tmp_path), ["--draws", "1", "--centroids", "20"]

    written = fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", *few, "--c-values", "1e-3", "1e-2")

    rows = {row["details"].get("key"): row for row in written["rows"]}
    # The places of the bars are easy for maps of 4x4, and harder for sums over quadrants.
    for key, least in (("model", 90), ("random", 90), ("kmeans", 30)):
        assert rows[key]["figures"]["full"] > least, key
        assert rows[key]["figures"]["few"] > least, key
    assert written["paper_row"]["figures"] == {"full": 82.8, "few": 73.8}
    assert set(rows["model"]["details"]["validation_error_by_c"]) == {"0.001", "0.01"}
    assert {"JPEG copies of the images", "C from 0.001, 0.01 only"} <= set(written["deviations"])
    with pytest.raises(InputError, match="`c_values` must be rising"):
        fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", "--c-values", "1e-2", "1e-3")
    assert any("1,400 train and 60 test images" in deviation for deviation in written["deviations"])


def test_rows_and_centroids_that_an_earlier_call_found_are_not_found_again(
    discriminator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, few = (
        cifar(tmp_path),
        ["--draws", "1", "--c-values", "1e-3", "--no-full", "--no-controls", "--centroids", "20"],
    )
    first = fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", *few)

    def must_not_run(*_: Any, **__: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(PatchFeatures, "learn", must_not_run)
    other = fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", *few[2:], "--draws", "2")
    monkeypatch.setattr(svm_c_grid, "fit_linear_svm", must_not_run)
    again = fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", *few)

    assert again["rows"] == first["rows"]
    assert any("mean of 2 draws" in deviation for deviation in other["deviations"])
    with pytest.raises(AssertionError):
        fill_small(evaluate_cifar10, discriminator, data, tmp_path / "out", *few, "--seed", "1")


@pytest.mark.parametrize(
    ("job", "name", "split"), [(evaluate_svhn, "svhn", "train"), (evaluate_mnist, "mnist", "test")]
)
def test_no_other_image_stands_in_for_one_that_cannot_be_read(
    job: Any, name: str, split: str, discriminator: str, generator: str, tmp_path: Path
) -> None:
    prepare, shards = load_job(f"prepare_{name}"), str(tmp_path / "shards")
    source = svhn(tmp_path) if name == "svhn" else mnist(tmp_path)
    assert (
        prepare(["--source", source, "--out", shards, "--cpus", "1", *(["--val", "50"] if name == "mnist" else [])])
        == 0
    )
    key = damage_sample(load_manifest(shards).split(split), 17)

    with pytest.raises(InputError, match=f"a sample cannot be used, .*{key}"):
        fill_small(job, discriminator if name == "svhn" else generator, shards, tmp_path / "out")


def test_mnist_small_streams_generated_digits_and_goes_on_where_it_stopped(generator: str, tmp_path: Path) -> None:
    data = mnist(tmp_path)

    once, _, twice = (
        fill_small(evaluate_mnist, generator, data, tmp_path / out, "--samples", *samples)
        for out, samples in (("once", ["200", "700"]), ("twice", ["200"]), ("twice", ["200", "700"]))
    )

    assert once["row"]["figures"] == twice["row"]["figures"]
    assert set(once["row"]["figures"]) == {"200", "700"}
    real = {row["name"]: row["figures"]["real"] for row in once["rows"] if row["name"].startswith("real data, ")}
    assert real == {"real data, 300 digits": 0.0}
    assert sum(path.stat().st_size for path in (tmp_path / "once").iterdir() if path.is_file()) < 20_000


def test_of_a_run_the_checkpoint_is_measured_whose_digits_read_the_held_out_ones_best(tmp_path: Path) -> None:
    """Truth: the table of the same files when their test digits are those held out, for each checkpoint alone.

    Images of a class are rare or frequent, so that even generators that say always the same have different errors.
    """
    classes = np.resize(np.repeat(np.arange(10), np.arange(10) + 1), 300)
    data, run = mnist(tmp_path, classes), tmp_path / "run"
    small = {f"model__{name}": value for name, value in (("generator_width", 2), ("generator_dense", (8,)))}
    models = [checkpoint(run / f"checkpoint_{seed:012}", "mnist28", seed=seed, **small) for seed in (0, 3)]
    held_out = tmp_path / "held_out"
    shutil.copytree(data, held_out)
    for name, head, size in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
        content = gzip.decompress((held_out / f"train-{name}-ubyte.gz").read_bytes())
        last = content[:4] + struct.pack(">I", 50) + content[8:head] + content[-50 * size :]
        (held_out / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(last))

    few = ("--samples", "200", "--no-real")
    alone = [
        fill_small(evaluate_mnist, model, str(held_out), tmp_path / Path(model).name, "--samples", "1000", "--no-real")
        for model in models
    ]
    chosen = fill_small(evaluate_mnist, str(run), data, tmp_path / "out", *few)

    errors = {model: of["row"]["figures"]["1K"] for model, of in zip(models, alone, strict=True)}
    assert len(set(errors.values())) > 1, "both draw alike: the choice shows nothing"
    best = min(errors, key=lambda model: errors[model])
    assert chosen["row"]["details"]["validation_error_by_checkpoint"] == pytest.approx(errors)
    assert chosen["row"]["details"]["checkpoint"] == best
    expected = fill_small(evaluate_mnist, best, data, tmp_path / "best", *few)
    assert chosen["row"]["figures"] == expected["row"]["figures"]


@pytest.mark.parametrize(
    ("job", "model", "data", "message"),
    [
        (evaluate_svhn, "D", svhn, "the train split has 200 images and SVHN's has 73,257|no split 'test'"),
        (evaluate_svhn, "D", lambda f: svhn(f, split="test"), "no split 'train'"),
        (evaluate_svhn, "D", str, "no train_32x32.mat"),
        (evaluate_svhn, "G", svhn, "conditioned on 10 classes"),
        (evaluate_cifar10, "D", cifar, "the train split has 1,400 images, per class"),
        (evaluate_mnist, "G", mnist, "the train digits are 300 and MNIST's are 60,000"),
        (evaluate_mnist, "D", mnist, "needs 1 x 28 x 28 digits"),
        (evaluate_svhn, "nowhere", svhn, "neither models:/NAME@ALIAS"),
        (evaluate_svhn, "untrained:svhn23", svhn, "no preset 'svhn23': did you mean 'svhn32'"),
        (evaluate_cifar10, "untrained:mnist28", cifar, "conditioned on 10 classes"),
        (evaluate_mnist, "untrained:mnist28", mnist, "untrained:mnist28 is a discriminator"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(
    job: Any,
    model: str,
    data: Callable[[Path], str],
    message: str,
    discriminator: str,
    generator: str,
    tmp_path: Path,
) -> None:
    chosen = {"D": discriminator, "G": generator}.get(model, model)

    with pytest.raises(InputError, match=message):
        job(["--model", chosen, "--data", data(tmp_path), "--out", str(tmp_path / "out"), "--no-track"])

    assert not (tmp_path / "out" / "result.json").exists()


def test_small_protocols_refuse_too_few_images_of_a_class(discriminator: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a class has .* at least 100 are needed"):
        fill_small(evaluate_cifar10, discriminator, cifar(tmp_path, 90), tmp_path / "a")
    labels = np.where(np.arange(200) % 10 == 7, 1, np.arange(200) % 10)
    with pytest.raises(InputError, match="class 7 has no image to learn from"):
        fill_small(evaluate_svhn, discriminator, svhn(tmp_path, labels), tmp_path / "b")


def test_a_discriminator_of_another_size_and_one_with_nan_are_refused(tmp_path: Path) -> None:
    data = svhn(tmp_path)
    large = checkpoint(tmp_path / "large", "examples64", model__discriminator_width=4, model__generator_width=4)
    config = replace(preset("demo32"), "model.discriminator_width", 4)
    players = build_players(config)
    next(players.discriminator.parameters()).data.fill_(np.nan)
    save_checkpoint(tmp_path / "broken", config, Progress(), players.state())

    for model, message in ((large, "sees images of 64 pixels"), (str(tmp_path / "broken"), "NaN")):
        with pytest.raises(InputError, match=message):
            fill_small(evaluate_svhn, model, data, tmp_path / "out")


def test_a_dry_run_checks_and_writes_nothing(
    discriminator: str, generator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ["--out", str(tmp_path / "out"), "--dry-run"]
    small, samples = [*whole, "--protocol", "small"], ["--samples", "10000000"]
    jobs = [
        (evaluate_svhn, discriminator, svhn(tmp_path), []),
        (evaluate_cifar10, discriminator, cifar(tmp_path), []),
        (evaluate_mnist, generator, mnist(tmp_path), samples),
        (evaluate_mnist, "train:mnist28", str(tmp_path / "mnist"), [*samples, "--mode", "standing"]),
    ]
    for job, model, data, more in jobs:
        job(["--model", model, "--data", data, *small, *more])
        with pytest.raises(InputError, match="give the complete files"):
            job(["--model", model, "--data", data, *whole])

    text = capsys.readouterr().out
    assert text.count("nothing was written") == 4
    for work in ("linear SVMs of a random one", "K-means, 400 centroids", "drawing 10,000,000 digits"):
        assert re.search(rf"  \d+:\d\d:\d\d .*{work}", text), work
    assert not (tmp_path / "out").exists()


def test_one_command_trains_and_measures_and_the_same_one_goes_on(
    ray_cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, tracking = cifar(tmp_path), tmp_path / "out", new_database(tmp_path)
    flags = [
        "--data",
        data,
        "--out",
        str(out),
        "--protocol",
        "small",
        "--tracking-uri",
        tracking,
        "--no-kmeans",
        "--no-full",
    ]
    flags += ["--draws", "1", "--c-values", "1e-3", "--no-controls", "--model", "train:demo32"]

    evaluate_cifar10([*flags, "--epochs", "1", "--dry-run"])
    assert "training of demo32 for 1 epochs" in capsys.readouterr().out
    assert not out.exists()
    assert evaluate_cifar10([*flags, "--epochs", "1"]) == 0
    trained = result(out)
    assert evaluate_cifar10([*flags, "--epochs", "1"]) == 0

    # Without test images: 1400 in whole batches of 64.
    trained_on = trained["row"]["details"]["trained_on"]
    assert trained_on.startswith("preset demo32 on cifar10, 1,344 images, schedule both, seed 0")
    assert trained["model"] == "train:demo32"
    assert Path(trained["measured"]).parent == out / "runs" / "demo32-1"
    assert any(
        note.startswith("of the checkpoints of the run the one with the least") for note in trained["deviations"]
    )
    assert result(out)["row"] == trained["row"]
    assert len(list((out / "features").glob("statistics-*"))) == 1  # of the same weights


def test_what_cannot_be_trained_for_a_table_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    digits = mnist(tmp_path)

    for model, message in (("train:imagenet32", "the table needs 1 x 28 x 28"), ("train:mnist29", "mnist28")):
        with pytest.raises(InputError, match=message):
            fill_small(evaluate_mnist, model, digits, tmp_path / "out")
    with pytest.raises(InputError, match="`epochs` is for a model that is trained first"):
        fill_small(evaluate_mnist, "somewhere", digits, tmp_path / "out", "--epochs", "3")
    assert not (tmp_path / "out").exists()

    shards = str(tmp_path / "shards")
    assert load_job("prepare_mnist")(["--source", digits, "--out", shards, "--cpus", "1", "--val", "20"]) == 0
    with pytest.raises(InputError, match="holds 20 digits out of training as split val, and 50 choose the checkpoint"):
        fill_small(evaluate_mnist, "train:mnist28", shards, tmp_path / "out")
    with pytest.raises(InputError, match="the train split has 1,400 images, per class"):
        evaluate_cifar10(
            ["--model", "train:demo32", "--data", cifar(tmp_path), "--out", str(tmp_path / "out"), "--no-track"]
        )
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.slow
def test_the_authors_features_beat_a_random_discriminator_and_pixels_on_real_digits(
    real_data: Path, tmp_path: Path
) -> None:
    model, data = str(real_data / "weights" / "svhn_unsup"), str(real_data / "svhn")

    rows = fill_small(evaluate_svhn, model, data, tmp_path)["rows"]

    test = {row["details"].get("key"): row["figures"].get("test") for row in rows}
    # Measured elsewhere with scikit-learn on other splits: 23.0, 25.5, 53.1, 81.1.
    assert test["model"] == pytest.approx(23.0, abs=3)
    assert test["turned"] == pytest.approx(25.5, abs=4)
    assert test["random"] == pytest.approx(53.1, abs=4)
    assert test["pixels"] == pytest.approx(81.1, abs=4)
