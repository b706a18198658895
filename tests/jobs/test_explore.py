"""jobs/explore.py and jobs/report.py end to end: a registered model, real shards, all pictures and figures."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.cli.logs import render_flags
from dcgan_dist.errors import InputError
from dcgan_dist.explore.boxes import Box, to_coco
from dcgan_dist.explore.filters import discriminator_of
from dcgan_dist.presets import preset
from dcgan_dist.quality.sampling import fixed_latents, sample_images
from dcgan_dist.registry.identify import identify
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.registry import register_network
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.tracking.server import connect
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import draw_rooms, load_job
from tests.helpers.networks import drawn_network
from tests.helpers.tracking_places import new_database
from tests.models.test_authors_arrays import write_arrays

explore, report = load_job("explore"), load_job("report")


def save_networks(folder: Path) -> Path:
    """A snapshot of untrained, narrow networks with standing statistics."""
    networks = {kind: drawn_network(kind)[0] for kind in ("generator", "discriminator")}
    config = dataclasses.replace(preset("demo32"), model=networks["generator"].config)
    save_checkpoint(folder, config, Progress(), {kind: network.state_dict() for kind, network in networks.items()})
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_networks(tmp_path_factory.mktemp("run") / "checkpoint")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_rooms(tmp_path_factory.mktemp("rooms") / "shards", 240)


def explored(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run jobs/explore.py; its result, whose pictures must be there, be readable and name model and seed."""
    assert explore([*map(str, arguments), "--out", str(folder)]) == 0
    result = json.loads((folder / "result.json").read_text())
    for picture in result["pictures"]:
        with Image.open(folder / picture["file"]) as image:
            image.load()
            assert image.width > 100
        assert picture["caption"]
    assert result["command"].startswith("python jobs/explore.py ")
    assert result["paper"]
    return result


def test_walk_draws_rows_between_its_points_and_measures_them(checkpoint: Path, rooms: Path, tmp_path: Path) -> None:
    counts = ["--points", "3", "--steps", "5", "--frames", "4", "--real", "60"]

    result = explored(tmp_path, "walk", "--model", checkpoint, *counts, "--shards", rooms, "--seed", "2")

    assert {picture["file"] for picture in result["pictures"]} == {
        f"walk_{kind}.{end}" for kind in ("linear", "spherical") for end in ("png", "gif")
    }
    with Image.open(tmp_path / "walk_linear.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 2 * 3 + 1
    for kind in ("linear", "spherical"):
        figures = result["figures"][kind]
        assert set(figures) == {"walk", "unrelated_real_images", "nearest_real_images"}
        for rows in figures.values():
            for space in ("pixels", "features"):
                assert rows[space]["largest_step"] >= rows[space]["mean_step"] >= 0
                assert rows[space]["ratio"] >= 1
        assert figures["walk"]["pixels"]["mean_step"] < figures["unrelated_real_images"]["pixels"]["mean_step"]
    # The grid's first and last image of a row are the samples themselves.
    samples = sample_images(load_generator(str(checkpoint)), 2, seed=2)
    with Image.open(tmp_path / "walk_linear.png") as grid:
        scale, margin = 3, 10
        for column, sample in ((0, samples[0]), (4, samples[1])):
            x, y = margin + scale + column * (32 * scale + scale), margin + scale
            tile = np.asarray(grid.crop((x, y, x + 96, y + 96)).resize((32, 32), Image.Resampling.NEAREST)).astype(int)
            expected = ((sample + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(int)
            assert np.abs(tile - expected).max() <= 1


def test_the_authors_arrays_are_named_by_a_hash_that_follows_their_content(tmp_path: Path) -> None:
    arrays = tmp_path / "arrays"
    write_arrays(arrays)

    result = explored(tmp_path / "walk", "walk", "--model", arrays, "--points", "2", "--steps", "2", "--frames", "2")

    before = result["model"]["sha256_of_arrays"]
    copy = Path(shutil.copytree(arrays, tmp_path / "copy"))
    assert identify(str(copy), "")["sha256_of_arrays"] == before
    (copy / "gen_params_02.npy").write_bytes((arrays / "gen_params_03.npy").read_bytes())
    assert identify(str(copy), "")["sha256_of_arrays"] != before


def test_the_discriminator_is_that_of_the_generators_run_whatever_its_version(tracked: tuple[str, str]) -> None:
    uri, _ = tracked
    trained, other = (TrackedRun.create(uri, "test", name, {}, {}) for name in ("own", "other"))
    for name, runs in (("generator", (trained,)), ("discriminator", (other, trained))):
        trained.client.create_registered_model(f"dcgan-pair-{name}")
        for run in runs:
            trained.client.create_model_version(f"dcgan-pair-{name}", "file:///nowhere", run.run_id)
    trained.client.set_registered_model_alias("dcgan-pair-generator", "candidate", "1")

    for model in ("models:/dcgan-pair-generator/1", "models:/dcgan-pair-generator@candidate"):
        assert discriminator_of(model, uri) == f"runs:/{trained.run_id}/discriminator"
    assert discriminator_of(f"runs:/{trained.run_id}/generator", uri) == f"runs:/{trained.run_id}/discriminator"
    assert discriminator_of("models:/dcgan-pair-discriminator/1", uri) == "models:/dcgan-pair-discriminator/1"


def test_filters_look_at_every_image_once_for_both_discriminators(
    checkpoint: Path, rooms: Path, tmp_path: Path
) -> None:
    result = explored(tmp_path, "filters", "--model", checkpoint, "--shards", rooms, "--maps", "0", "3", "--top", "4")

    assert result["figures"]["images"] == 240
    assert result["figures"]["layer"] == "convolution2"
    assert all(picture["shows_source_images"] for picture in result["pictures"])
    assert len(result["figures"]["random"]["largest_response"]) == 2


def test_windows_end_to_end_from_rooms(checkpoint: Path, rooms: Path, tmp_path: Path) -> None:
    boxes = [Box(image=i, left=0.2, top=0.1, right=0.6, bottom=0.5) for i in range(20)]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(to_coco(boxes, 32, {"seed": "0"})))
    given = ["--shards", rooms, "--boxes", file, "--n", "20", "--trials", "16", "--detector-steps", "20"]

    figures = explored(tmp_path / "out", "windows", "--model", checkpoint, *given)["figures"]

    assert figures["boxes"] == 20
    assert figures["detector"]["images"] == 40
    assert figures["before"]["n"] == 16
    for layer, shape in (("convolution0", "8@8"), ("convolution1", "4@16")):
        removal = figures[layer]
        assert removal["shape"] == shape
        assert 0 <= removal["dropped"] <= removal["maps"]
        assert removal["after"]["n"] == 16
        assert removal["after_dropping_as_many_random_maps"]["n"] == 5 * 16
        assert 0 <= removal["held_out_accuracy"]["share"] <= 1


def test_windows_without_boxes_give_samples_to_draw_on(checkpoint: Path, tmp_path: Path) -> None:
    (picture,) = explored(tmp_path, "windows", "--model", checkpoint, "--n", "12", "--seed", "4")["pictures"]

    assert "open annotate.html in a browser" in picture["caption"], "no path of this machine in what is handed on"
    with Image.open(tmp_path / "samples.png") as grid:
        layout = json.loads(grid.text["grid"])  # pyright: ignore[reportAttributeAccessIssue]
        assert layout["n"] == 12
        assert layout["seed"] == "4"


def test_arithmetic_draws_a_given_equation(checkpoint: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", fixed_latents(load_generator(str(checkpoint)), 0, 3, seed=9)[0].numpy())
    exemplars = ["--a", "0", "1", "2", "--b", "3", "4", "5:7", "--c", tmp_path / "c.npy"]

    result = explored(tmp_path / "out", "arithmetic", "--model", checkpoint, *exemplars)

    assert [picture["file"] for picture in result["pictures"]] == ["equation.png"]


def test_arithmetic_proposes_exemplars_and_counts_with_another_classifier(checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, top in (("smile", 60), ("neutral", 200)):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        for i in range(30):
            face = rng.normal(128, 20, (64, 64))
            face[40:50, 16:48] = top
            Image.fromarray(face.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    counts = ["--samples", "40", "--trials", "3"]

    result = explored(tmp_path / "out", "arithmetic", "--model", checkpoint, "--labelled", tmp_path / "faces", *counts)

    figures = result["figures"]
    for name in ("smile - neutral + neutral", "neutral - smile + smile"):
        assert figures[name]["results"]["n"] == 3
        used = figures[name]["exemplars_of_the_figure"]
        assert len({number for numbers in used.values() for number in numbers}) == 9, "no sample in two concepts"
    assert figures["classifier"]["accuracy_of_judge"]["n"] == 30


def test_turn_measures_along_the_axis_and_beside_it(checkpoint: Path, rooms: Path, tmp_path: Path) -> None:
    counts = ["--samples", "40", "--trials", "10", "--rows", "2", "--steps", "5"]

    figures = explored(tmp_path, "turn", "--model", checkpoint, "--shards", rooms, *counts)["figures"]

    assert len(figures["exemplars"]["left"]) == len(figures["exemplars"]["right"]) == 4
    assert figures["turned_left_from_end_to_end"]["n"] == 10
    assert len(figures["mean_pose_at_each_step"]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk", "--tracking-uri", "http://me:secret@host"], "--tracking-uri holds a user name or password"),
        (["walk", "--steps", "1"], "--steps 1"),
        (["walk", "--points", "1"], "--points 1"),
        (["walk", "--label", "3"], "has 0 classes"),
        (["walk", "--z", "0"], "needs at least 2"),
        (["arithmetic"], "give all of --a, --b and --c"),
        (["arithmetic", "--a", "0", "--b", "1"], "give all of --a, --b and --c"),
        (["arithmetic", "--labelled", "ROOMS"], "at least 20 of each"),
        (["turn", "--left", "0"], "give both --left and --right"),
        (["windows", "--layers", "convolution7"], "convolution0"),
        (["windows", "--boxes", "nowhere.json"], "cannot be read"),
        (["filters", "--shards", "ROOMS", "--maps", "999"], "numbered from 0"),
        (["filters", "--shards", "nowhere"], "does not exist"),
    ],
)
def test_input_that_cannot_work_is_refused_before_anything_is_written(
    arguments: list[str], message: str, checkpoint: Path, rooms: Path, tmp_path: Path
) -> None:
    arguments = [str(rooms) if argument == "ROOMS" else argument for argument in arguments]

    with pytest.raises(InputError) as refused:
        explore([arguments[0], "--model", str(checkpoint), *arguments[1:], "--out", str(tmp_path / "out")])

    assert message in render_flags(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A registry with one generator, whose run kept grids after 1 and after 5 epochs; its place and the model."""
    folder = tmp_path_factory.mktemp("tracking")
    uri = new_database(folder)
    run = TrackedRun.create(uri, "test", "rooms", {"epochs": 5, "data.batch_size": 20}, {})
    for epoch in (1, 5):
        Image.new("RGB", (64, 64), (10 * epoch, 0, 0)).save(folder / f"{epoch * 100:012}.png")
        run.log_artifact(folder / f"{epoch * 100:012}.png", "grids")
    run.log_metrics({"progress/epoch": 5.0}, 500)
    checkpoint = save_networks(folder / "checkpoint")
    network = load_generator(str(checkpoint))
    register_network(run, network, "dcgan-rooms-generator", card="A card.", tags={"preset": "demo32"})
    run.finish("FINISHED")
    return uri, "models:/dcgan-rooms-generator@candidate"


def test_the_report_holds_everything_and_is_kept_in_mlflow(tracked: tuple[str, str], tmp_path: Path) -> None:
    uri, model = tracked
    counts = ["--points", "2", "--steps", "3", "--frames", "2"]
    explored(tmp_path / "walk", "walk", "--model", model, "--tracking-uri", uri, *counts)
    row = {"name": "<b>ours</b>", "figures": {"test": 23.46}, "spread": {"test": 1.1}, "source": "this run"}
    others = {
        "dedup": {"thinned_images": 1000, "near_duplicates": 91, "duplicate_pairs": 100, "coder": "abc"},
        "memorization": {"verdict": "pass", "reasons": ["no copy among 1,000 samples"], "copy_rate": {"upper": 0.003}},
        "svhn": {"table": "svhn", "protocol": "small", "rows": [row], "deviations": ["946 digits"], "model": model},
        "search": {"trials": [], "finished": 4, "row": {"error": 30.0}, "paper_row": {"error": 28.87}},
    }
    for name, content in others.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(content))

    out = tmp_path / "report.html"
    assert report(["--model", model, "--tracking-uri", uri, "--results", str(tmp_path), "--out", str(out)]) == 0

    html = out.read_text()
    titles = re.findall(r"<h2>([^<]*)</h2>", html)
    search = "Search: a supervised network of the same shape"
    assert titles == ["Training", "De-duplication", "Memorization", "Table: svhn", search, "Walk", "Appendix"]
    epochs = (
        "after 1.0 epochs",
        "after 5.0 epochs",
        "500 images seen, 5.0 epochs",
        "5 whole batches of 20 in an epoch",
    )
    for text in ("models:/dcgan-rooms-generator/1", *epochs, "Copies: pass", "9.1 %", "23.46"):
        assert text in html
    assert "&lt;b&gt;ours&lt;/b&gt;" in html
    assert "python jobs/explore.py walk" in html
    assert html.count(">The paper<") == 6
    assert "<script" not in html
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', html))
    client = connect(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], "tags.kind = 'report'")
    assert [entry.path for entry in client.list_artifacts(runs[0].info.run_id)] == ["report.html"]


def test_a_report_on_a_checkpoint_needs_no_results_and_can_stay_out_of_mlflow(checkpoint: Path, tmp_path: Path) -> None:
    assert report(["--model", str(checkpoint), "--no-track", "--out", str(tmp_path)]) == 0

    html = (tmp_path / "report.html").read_text()
    assert "sha256_of_checkpoint_json" in html
    assert str(checkpoint) not in html.partition("<h2>Appendix</h2>")[0], "local paths are folded away"
    assert html.count("unknown: no run") == 3
    assert "Copies: not checked" in html


def test_results_that_are_none_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("[1]")
    (tmp_path / "empty").mkdir()

    for place, message in ((tmp_path, "not the result of a job"), (tmp_path / "empty", "holds no result.json")):
        with pytest.raises(InputError, match=message):
            report(["--model", str(checkpoint), "--results", str(place), "--out", str(tmp_path / "r.html")])

    assert not (tmp_path / "r.html").exists()
