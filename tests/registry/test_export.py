"""Exported folders: whole or not there, read by others as by us, and loaded back."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mlflow.pytorch import load_model
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from dcgan_dist.errors import InputError
from dcgan_dist.explore.live_model import LiveModel
from dcgan_dist.presets import preset
from dcgan_dist.quality.sampling import fixed_latents
from dcgan_dist.registry.identify import identify
from dcgan_dist.registry.load import describe_training, load_discriminator, load_generator
from dcgan_dist.registry.model_card import model_card
from dcgan_dist.registry.registry import register_network
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.whole_checkpoint import Progress, save_checkpoint
from tests.helpers.jobs import load_job
from tests.helpers.networks import drawn_network
from tests.helpers.object_store import s3_bucket
from tests.helpers.tracking_server import free_port

export, sample = load_job("export"), load_job("sample")
LOADERS = {"generator": load_generator, "discriminator": load_discriminator}
CARD = "# A card\n\nWhat it is.\n\n## Training\n\nMuch.\n\n## Use\n\nAt a server.\n\n## Limits\n\nMany.\n"


def snapshot(
    folder: Path, name: str = "demo32", change: Callable[[dict[str, Any]], object] = bool
) -> tuple[str, dict[str, Any], dict[str, tuple[Tensor, ...]]]:
    """A snapshot with narrow networks of a preset, changed; its path, the networks, and rows of their arguments."""
    drawn = {kind: drawn_network(kind, name) for kind in LOADERS}
    networks, inputs = {kind: pair[0] for kind, pair in drawn.items()}, {kind: pair[1] for kind, pair in drawn.items()}
    change(networks)
    config = dataclasses.replace(preset(name), model=networks["generator"].config)
    state = {kind: network.state_dict() for kind, network in networks.items()}
    save_checkpoint(folder / "snapshot", config, Progress(step=3, images_seen=384, frechet=1.5), state)
    return str(folder / "snapshot"), networks, inputs


def run_examples(folder: Path, names: dict[str, Any]) -> None:
    """Execute the Python of a folder's card."""
    examples = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert examples
    for example in examples:
        exec(example.replace("FOLDER", str(folder)), names)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("name", ["demo32", "mnist28"])
def test_safetensors_come_back_bit_by_bit(kind: str, name: str, tmp_path: Path) -> None:
    model, networks, inputs = snapshot(tmp_path, name)
    out, again = tmp_path / "hub" / "model", tmp_path / "again"
    command = ["--model", model, "--network", kind, "--out", str(out), "--data-licence", "CC0."]

    assert export(command) == 0

    loaded, network = LOADERS[kind](str(out)), networks[kind]
    assert not loaded.training
    assert loaded.config == network.config
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in network.state_dict().items())
    assert torch.equal(loaded(*inputs[kind]), network(*inputs[kind]))
    files = {"README.md", "config.json", "model.safetensors"} | ({"samples.png"} if kind == "generator" else set())
    assert {path.name for path in out.iterdir()} == files
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    names = {"labels": inputs[kind][-1].new_zeros(64, dtype=torch.int64), "images": inputs[kind][0]}
    run_examples(out, names if kind == "generator" else names | {"labels": inputs[kind][-1]})
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: dcgan_dist\n")
    for fact in (f"preset `{name}`", "384 real images", "Licence of the training images\n\nCC0.", "## Limits", "1.5"):
        assert fact in card
    assert "models:/" not in card

    with pytest.raises(InputError, match=f"is a {kind}, not a"):
        LOADERS["discriminator" if kind == "generator" else "generator"](str(out))
    assert export(["--model", str(out), "--network", kind, "--out", str(again)]) == 0
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
    assert identify(str(out), "")["sha256_of_config_json"] == identify(str(again), "")["sha256_of_config_json"]
    assert "not known" in describe_training(str(out))


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("name", ["demo32", "mnist28", "imagenet32", "examples64"])
def test_onnx_runtime_computes_what_we_do_for_any_batch(kind: str, name: str, tmp_path: Path) -> None:
    model, networks, inputs = snapshot(tmp_path, name)
    out = tmp_path / "out"

    assert export(["--model", model, "--network", kind, "--format", "onnx", "--out", str(out)]) == 0

    onnx.checker.check_model(out / "model.onnx", full_check=True)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    names = ["z" if kind == "generator" else "images", "labels"][: len(inputs[kind])]
    assert [value.name for value in session.get_inputs()] == names
    for rows in (1, 2, 9):
        given = [value[:rows] for value in inputs[kind]]
        with torch.no_grad():
            *_, features, last = networks[kind].layer_outputs(*given).values()
        computed = session.run(None, {key: value.numpy() for key, value in zip(names, given, strict=True)})
        expected = [last] if kind == "generator" else [last, features.flatten(1)]
        for ours, theirs in zip(expected, computed, strict=True):
            assert ours.abs().max() > 1e-3
            np.testing.assert_allclose(np.asarray(theirs), ours.numpy(), rtol=1e-4, atol=1e-4)
    run_examples(out, {"images": np.zeros((64, *inputs["discriminator"][0].shape[1:]), np.float32)})
    with pytest.raises(InputError, match="ONNX graph"):
        LOADERS[kind](str(out))


def test_a_place_with_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    first, *_ = snapshot(tmp_path / "a")
    second, *_ = snapshot(tmp_path / "b", "svhn32")
    out = tmp_path / "out"
    out.mkdir()

    assert export(["--model", first, "--out", str(out)]) == 0
    files = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert export(["--model", first, "--out", str(out)]) == 0
    for other in (
        ["--model", second],
        ["--model", first, "--format", "onnx"],
        ["--model", first, "--network", "discriminator"],
    ):
        with pytest.raises(InputError, match="holds other files"):
            export([*other, "--out", str(out)])

    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == files
    with pytest.raises(InputError, match=r"out` .* cannot be written"):
        export(["--model", first, "--out", str(out / "README.md")])


def test_a_model_that_is_not_finite_leaves_nothing(tmp_path: Path) -> None:
    diverged, *_ = snapshot(
        tmp_path, "demo32", lambda networks: networks["generator"].convolutions[-1].weight.data.fill_(torch.nan)
    )
    middle, *_ = snapshot(
        tmp_path / "b", "demo32", lambda networks: networks["discriminator"].convolution_norm[1].mean.fill_(torch.nan)
    )
    out = ["--out", str(tmp_path / "hub" / "out")]

    with pytest.raises(InputError, match="draws no images"):
        export(["--model", diverged, *out])
    with pytest.raises(InputError, match="name a registered one or the snapshot"):
        export(["--model", middle, "--network", "discriminator", *out])

    assert list((tmp_path / "hub").iterdir()) == []


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    model, *_ = snapshot(tmp_path)
    out = tmp_path / "out"
    assert export(["--model", model, "--out", str(out)]) == 0
    weights, config = out / "model.safetensors", json.loads((out / "config.json").read_text())
    arrays = load_file(weights)

    for content, said in (
        (config | {"format": 2}, "newer"),
        (config | {"model": config["model"] | {"generator_with": 1}}, "did you mean 'generator_width'"),
        (config | {"model": config["model"] | {"generator_width": 8}}, "does not fit its config.json"),
        (config | {"weights_sha256": "0"}, "does not match the hash"),
        ([], "not what an export wrote"),
    ):
        (out / "config.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=said):
            load_generator(str(out))
    (out / "config.json").write_text(json.dumps(config))
    save_file(arrays | {"projection.weight": arrays["projection.weight"] + 1}, weights)
    with pytest.raises(InputError, match="does not match the hash"):
        load_generator(str(out))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        load_generator(str(out))


def test_an_export_lies_in_a_store_and_is_loaded_from_there(tmp_path: Path) -> None:
    model, networks, inputs = snapshot(tmp_path)
    with s3_bucket() as bucket:
        assert export(["--model", model, "--out", f"{bucket}/hub/model"]) == 0
        assert export(["--model", model, "--out", f"{bucket}/hub/model"]) == 0
        loaded = load_generator(f"{bucket}/hub/model")
        with pytest.raises(InputError, match="holds other files"):
            export(["--model", model, "--format", "onnx", "--out", f"{bucket}/hub/model"])

    assert torch.equal(loaded(*inputs["generator"]), networks["generator"](*inputs["generator"]))


@pytest.fixture
def registered(database: str) -> tuple[TrackedRun, Any, np.ndarray]:
    """A run with a registered generator, the generator, and rows of z."""
    run = TrackedRun.create(database, "export", "a run", {}, {})
    generator = drawn_network("generator")[0]
    z, _ = fixed_latents(generator, 0, 9, seed=0)
    register_network(run, generator, "dcgan-export-generator", card=CARD, tags={"preset": "demo32"})
    return run, generator, z.numpy()


def files_of(run: TrackedRun, folder: Path) -> str:
    (logged,) = run.client.search_logged_models([run.experiment_id], filter_string="name = 'generator'")[:1]
    return mlflow.artifacts.download_artifacts(
        logged.artifact_location, dst_path=str(folder / "mlflow"), tracking_uri=run.tracking_uri
    )


def test_the_card_tells_plain_torch_how_to_load_the_model(registered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, *_ = registered
    monkeypatch.setenv("MLFLOW_TRACKING_URI", run.tracking_uri)
    facts: dict[str, Any] = {"images_seen": 1, "updates": (1, 1), "manifest_hash": "0", "quality": {}}
    card = model_card(kind="generator", name="dcgan-export-generator", config=preset("demo32"), **facts)
    _, example = re.findall(r"```python\n(.*?)```", card, re.S)
    names: dict[str, Any] = {}

    exec(example, names)

    assert names["images"].shape == (64, 3, 32, 32)
    with pytest.raises(NotImplementedError):
        names["generator"].eval()


def test_one_z_gives_one_image_whatever_loads_the_model(registered: Any, tmp_path: Path) -> None:
    run, generator, z = registered
    expected = generator(torch.from_numpy(z)).detach().numpy()
    model = ["--model", "models:/dcgan-export-generator@candidate", "--tracking-uri", run.tracking_uri]
    for file_format in ("safetensors", "onnx"):
        assert export([*model, "--format", file_format, "--out", str(tmp_path / file_format)]) == 0
    (tmp_path / "mlflow").mkdir()
    folder = files_of(run, tmp_path)
    assert Image.open(Path(folder) / "extra_files" / "samples.png").width > 8 * 32

    images = {
        "registry": load_generator(model[1], run.tracking_uri)(torch.from_numpy(z)).detach().numpy(),
        "plain torch": load_model(folder)(torch.from_numpy(z)).numpy(),
        "pyfunc": mlflow.pyfunc.load_model(folder).predict(z),
        "safetensors": load_generator(str(tmp_path / "safetensors"))(torch.from_numpy(z)).detach().numpy(),
        "demo": LiveModel(load_generator(model[1], run.tracking_uri)).samples(9, seed=0).numpy(),
        "ONNX Runtime": onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx").run(None, {"z": z})[0],
    }

    assert expected.std() > 0.01
    for loader, computed in images.items():
        np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-4, err_msg=loader)
    card = (tmp_path / "onnx" / "README.md").read_text()
    for fact in ("# A card", "## Training\n\nMuch.", "![64 samples", "onnxruntime", "## Limits\n\nMany."):
        assert fact in card
    assert "At a server." not in card
    assert Image.open(tmp_path / "onnx" / "samples.png").width > 8 * 32
    assert sample(["--model", str(tmp_path / "safetensors"), "--n", "1", "--out", str(tmp_path / "grid.png")]) == 0


@pytest.mark.slow
def test_a_served_model_answers_with_the_same_images(registered: Any, tmp_path: Path) -> None:
    run, generator, z = registered
    (tmp_path / "mlflow").mkdir()
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--model-uri", files_of(run, tmp_path)]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow looks for uvicorn there
    server = subprocess.Popen(command, env=os.environ | {"PATH": programs}, start_new_session=True)
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": z.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        for _ in range(120):
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    predictions = json.load(response)["predictions"]
                    break
            except urllib.error.URLError:
                assert server.poll() is None
                time.sleep(1)
        else:
            pytest.fail("the server does not answer")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    np.testing.assert_allclose(predictions, generator(torch.from_numpy(z)).detach().numpy(), rtol=0, atol=1e-4)
