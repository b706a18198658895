"""Settings from files: what a run wrote, YAML by hand, flags on top, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from dcgan_dist.config import TrainConfig, replace
from dcgan_dist.errors import InputError
from dcgan_dist.presets import PRESETS, preset
from dcgan_dist.runs.config_file import config_text
from dcgan_dist.runs.job import parse_training


def config(*flags: str) -> TrainConfig:
    return parse_training(
        [*flags, "--shards", "/shards", "--storage", "/runs"], default_preset="lsun64", description=""
    )


def write(folder: Path, content: object, name: str = "run.yaml") -> str:
    (folder / name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(folder / name)


@pytest.mark.parametrize("name", PRESETS)
def test_printed_settings_are_read_back(name: str, tmp_path: Path) -> None:
    given = replace(config("--preset", name), "data.batch_size", 24)

    assert config("--config", write(tmp_path, config_text(given))) == given


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_what_a_run_wrote_is_taken_and_flags_come_on_top(name: str, tmp_path: Path) -> None:
    ran = config("--preset", "demo32", "--data.batch-size", "24", "--seed", "3")
    file = write(tmp_path, json.dumps({"config": dataclasses.asdict(ran), "run_id": "r"}), name)

    assert config("--config", file) == ran
    assert config("--config", file, "--seed", "4") == dataclasses.replace(ran, seed=4)


def test_a_file_may_hold_some_settings_and_the_rest_are_the_preset_s(tmp_path: Path) -> None:
    file = write(tmp_path, "preset: demo32\ndata: {batch_size: 24}\noptimizer_d: {lr: 1e-4}\n")

    given = config(f"--config={file}")

    assert given.data == dataclasses.replace(preset("demo32").data, batch_size=24)
    assert given.optimizer_d.lr == 1e-4
    assert given.model == preset("demo32").model


def test_print_config_prints_all_settings_and_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        config("--preset", "demo32", "--print-config", "--epochs", "7")

    assert left.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)["epochs"] == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: {batch_sise: 24}", "no setting 'batch_sise': did you mean 'batch_size'"),
        ("data: {batch_size: many}", r"data\.batch_size: Input should be a valid integer"),
        ("data: 24", "data: Input should be"),
        ("epochs: 0", "epochs"),
        ("preset: other", "other"),
        ("- 1", "holds no settings by name"),
        ("a: [", "neither YAML nor JSON"),
        ("!!python/object/apply:os.mkdir [/tmp/never]", "neither YAML nor JSON"),
        ("a: &a [*a]", "no setting 'a'"),
    ],
)
def test_what_no_run_can_have_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        config("--config", write(tmp_path, content))


def test_a_missing_file_a_missing_name_and_two_presets_are_refused(tmp_path: Path) -> None:
    for flags, message in (
        (["--config", "/nowhere/run.json"], "cannot be read"),
        (["--config"], "names no file"),
        (["--config", write(tmp_path, "preset: demo32"), "--preset", "svhn32"], "leave one of them out"),
    ):
        with pytest.raises(InputError, match=message):
            parse_training(flags, default_preset="lsun64", description="")
