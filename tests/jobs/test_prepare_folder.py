"""Preparing a folder: pictures of every kind, held-out images, restarts, and plans that write nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.cli.result_file import only_job
from dcgan_dist.data.shards import keys
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.stream import read_images, read_keys
from dcgan_dist.errors import InputError
from dcgan_dist.prepare import write_shards as prepare_module
from dcgan_dist.prepare.sources import folder as folder_source
from jobs import prepare_folder
from tests.helpers.shards import pixels_of


def write_photos(folder: Path, n: int) -> Path:
    folder.mkdir(parents=True)
    for i in range(n):
        Image.fromarray(pixels_of(i, 24)).save(folder / f"photo{i:03d}.png")
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    return prepare_folder.main(
        ["--source", str(folder), "--out", str(out), "--image-size", "16", "--cpus", "1", "--shard-samples", "4", *more]
    )


def test_held_out_images_depend_on_their_key_alone(tmp_path: Path) -> None:
    many, few = write_photos(tmp_path / "many", 60), write_photos(tmp_path / "few", 30)

    run(many, tmp_path / "a", "--val-fraction", "0.3")
    run(few, tmp_path / "b", "--val-fraction", "0.3")

    held_out = [set(read_keys(load_manifest(str(tmp_path / name)).split("val"))) for name in "ab"]
    assert held_out[1] == {key for key in held_out[0] if key < "photo030"}
    assert 8 <= len(held_out[0]) <= 28


def test_every_kind_of_picture_becomes_a_square_of_colour(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    base = Image.fromarray(np.full((40, 60, 3), (200, 100, 50), np.uint8))
    base.save(folder / "rgb.png")
    base.convert("L").save(folder / "grey.jpg")
    base.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    base.convert("P").save(folder / "palette.gif")
    clear = base.convert("RGBA")
    clear.putalpha(0)
    clear.save(folder / "clear.png")
    Image.fromarray(np.full((40, 60), 40000, np.uint16)).save(folder / "deep.png")
    upright = Image.new("RGB", (60, 40), "black")
    upright.paste("white", (0, 0, 30, 40))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to see it upright: white is on top then
    upright.save(folder / "turned.jpg", exif=exif, quality=95)

    run(folder, tmp_path / "out")

    manifest = load_manifest(str(tmp_path / "out"))
    images = dict(zip(read_keys(manifest), read_images(manifest, 99, image_size=16).numpy(), strict=True))
    middle = {key: image[:, 8, 8].astype(int) for key, image in images.items()}
    assert np.abs(middle["rgb"] - [200, 100, 50]).max() < 5
    assert np.abs(middle["cmyk"] - [200, 100, 50]).max() < 25
    assert np.abs(middle["palette"] - [200, 100, 50]).max() < 30
    assert len(set(middle["grey"])) == 1
    assert middle["clear"].tolist() == [255, 255, 255]
    assert np.abs(middle["deep"] - 40000 // 256).max() < 3
    assert images["turned"][:, 2, 8].min() > 200
    assert images["turned"][:, 13, 8].max() < 50


def test_a_killed_preparation_goes_on_and_ends_with_the_same_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "in", 23)
    run(photos, tmp_path / "straight")
    made: list[str] = []
    whole = prepare_module.make_shard

    def killed_in_the_third(source, task, layout, folder):
        made.append(task.name)
        if len(made) == 3:
            (Path(folder) / f".{task.name}.1-abcdef.part").write_bytes(b"half a shard")
            raise KeyboardInterrupt
        return whole(source, task, layout, folder)

    monkeypatch.setattr(prepare_module, "make_shard", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "broken")
    run(photos, tmp_path / "broken")

    assert load_manifest(str(tmp_path / "broken")).hash == load_manifest(str(tmp_path / "straight")).hash
    assert len(made) == 3 + 4  # six shards; the two finished ones were not made again
    straight, broken = ({p.name: p.read_bytes() for p in (tmp_path / n).glob("*.tar")} for n in ("straight", "broken"))
    assert straight == broken
    assert not list((tmp_path / "broken").glob(".*.part"))


def test_two_preparations_do_not_fill_one_folder_at_once(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "in", 5)

    with only_job(tmp_path / "out"), pytest.raises(InputError, match="in use by another job"):
        run(photos, tmp_path / "out")

    assert run(photos, tmp_path / "out") == 0


def test_images_that_cannot_be_seen_from_here_stop_the_job_and_one_that_is_gone_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = write_photos(tmp_path / "in", 9)
    find = folder_source.find_images

    def then_gone(paths: Sequence[str], gone: Path, where: Path) -> list[Any]:
        images = find(paths)
        gone.rename(where)
        return images

    some = sorted(path for path in Path(photos).rglob("*") if path.is_file())[0]
    monkeypatch.setattr(folder_source, "find_images", lambda paths: then_gone(paths, some, tmp_path / "one"))
    assert run(photos, tmp_path / "one_gone") == 0
    assert load_manifest(str(tmp_path / "one_gone")).samples == 8
    monkeypatch.setattr(folder_source, "find_images", lambda paths: then_gone(paths, Path(photos), tmp_path / "away"))
    with pytest.raises(InputError, match=r"`source` .* cannot be read from this machine"):
        run(photos, tmp_path / "all_gone")
    assert not (tmp_path / "all_gone" / "manifest.json").exists()


def test_the_same_command_again_says_that_it_did_nothing_and_prints_the_same_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "in", 5)
    run(photos, tmp_path / "out")
    first = capsys.readouterr().out

    assert run(photos, tmp_path / "out") == 0

    again = capsys.readouterr().out
    assert "nothing was done" in again
    assert again.endswith(first)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["job"], result["samples"]) == ("prepare", {"train": 5})


def test_a_folder_of_other_shards_is_not_overwritten(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "in", 5)
    run(photos, tmp_path / "out")

    with pytest.raises(InputError, match="already holds shards made in another way"):
        run(photos, tmp_path / "out", "--layout", "blocks")


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "in", 9)

    assert run(photos, tmp_path / "out", "--dry-run") == 0

    assert "9 train items into 3 shards" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_unreadable_pictures_are_listed_and_do_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "in", 5)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff but no more")

    run(photos, tmp_path / "out")

    assert "1 items gave no image" in capsys.readouterr().out
    assert [entry["key"] for entry in json.loads((tmp_path / "out" / "rejected.json").read_text())] == ["broken"]


@pytest.mark.parametrize(
    "name", ["a.b.c", "über/straße", "..", "a%2Eb", "/abs", "x//y", "a b", "\n", "__x__", "k" * 300]
)
def test_any_name_becomes_a_safe_key_and_comes_back(name: str) -> None:
    key = keys.escape(name)

    assert unquote(key) == name
    assert key.isascii()
    assert "." not in key
    assert not key.startswith("/")
    assert "//" not in key


def test_names_that_differ_in_their_suffix_only_stay_apart() -> None:
    names = ["a.jpg", "a.png", "a.jpg.png", "b.jpg"]

    assert len(set(keys.keys_of_paths(names))) == len(names)
