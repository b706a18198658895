"""The inspection job: its exit code says whether anything is damaged, its JSON says what and where."""

import json
from pathlib import Path

import pytest
from PIL import Image

from dcgan_dist.errors import InputError
from jobs import inspect_shards
from tests.helpers.shards import flip, write_shards


def test_sound_shards_exit_0_with_counts_and_a_contact_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(tmp_path / "shards", (5, 6))
    report, sheet = tmp_path / "report.json", tmp_path / "sheet.png"

    code = inspect_shards.main(["--shards", str(tmp_path / "shards"), "--json", str(report), "--sheet", str(sheet)])

    result = json.loads(report.read_text())
    assert code == 0
    assert "no fault found" in capsys.readouterr().out
    assert (result["readable"], result["damages"], result["sizes"]) == ({"train": 11}, [], {"8x8": 11})
    assert Image.open(sheet).size == (64, 16)


def test_damaged_shards_exit_1_and_name_shard_member_and_offset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_shards(tmp_path, (5, 6))
    shard = tmp_path / manifest.shards[1].name
    at = shard.read_bytes().index(b"\x89PNG")
    flip(shard, at + 60)

    code = inspect_shards.main(["--shards", str(tmp_path), "--json", str(tmp_path / "report.json")])

    (damage,) = json.loads((tmp_path / "report.json").read_text())["damages"]
    assert code == 1
    assert (damage["shard"], damage["member"], damage["offset"]) == (shard.name, "s00005.png", at)
    assert f"{shard.name}: s00005.png at byte {at}: bytes changed" in capsys.readouterr().out


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        inspect_shards.main(["--shards", str(tmp_path / "none")])
