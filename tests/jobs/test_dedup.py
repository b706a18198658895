"""The de-duplication job on shards whose near duplicates are known, and on real ones."""

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.cli.result_file import only_job
from dcgan_dist.data.shards.images import encode_png
from dcgan_dist.data.shards.inspection import inspect
from dcgan_dist.data.shards.keep_list import load_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest, write_manifest
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.data.stream import read_images, read_keys
from dcgan_dist.dedup.corpus import open_corpus
from dcgan_dist.dedup.fit_coder import coder_hash
from dcgan_dist.dedup.shard_files import Damaged, load_thumbnails, pictures_path, read_npz, write_npz
from dcgan_dist.errors import InputError
from dcgan_dist.files import sha256_of
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.write_shards import prepare
from jobs import dedup_lsun, prepare_folder
from tests.helpers.jobs import JOBS
from tests.helpers.shards import damage_sample

ROOMS, COPIES = 600, 0.1


def planted_rooms() -> Source:
    return plant_duplicates(RoomSource(n=ROOMS, encoding="png"), COPIES)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """600 rooms in 6 shards, 60 of them planted near duplicates."""
    options = ShardOptions(out=str(tmp_path_factory.mktemp("rooms")), shard_samples=100, cpus=1)
    return prepare(planted_rooms(), options).manifest


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture(scope="module")
def finished(rooms: Manifest, tmp_path_factory: pytest.TempPathFactory, tracking: str) -> Path:
    """Folder of a finished run over the rooms."""
    out = tmp_path_factory.mktemp("dedup") / "out"
    assert dedup(rooms.location, out, tracking) == 0
    return out


@pytest.fixture
def coder(finished: Path) -> str:
    return str(finished / "coder-recommended")


def dedup(shards: str | list[str], out: Path, tracking: str, *more: str) -> int:
    shards = [shards] if isinstance(shards, str) else shards
    arguments = ["--shards", *shards, "--out", str(out), "--tracking-uri", tracking, "--cpus", "1", *more]
    return dedup_lsun.main(arguments)


def planted(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Key of each planted copy -> the original's and the attack."""
    truth = {}
    for number in range(len(manifest.shards)):
        with ShardSamples(manifest, number) as samples:
            for key, details in zip(samples.keys, samples.details(range(len(samples))), strict=True):
                if details and "copy_of" in details:
                    truth[key] = details["copy_of"], details["attack"]
    return truth


def duplicates(out: Path) -> set[frozenset[str]]:
    with (out / "pairs.csv").open(newline="") as file:
        return {frozenset((row["key_a"], row["key_b"])) for row in csv.DictReader(file) if row["duplicate"] == "1"}


def test_rooms_tell_which_are_copies_of_which(rooms: Manifest) -> None:
    truth = planted(rooms)

    originals = [original for original, _ in truth.values()]
    assert len(truth) == ROOMS * COPIES
    assert len(set(originals)) == len(originals)
    assert not set(originals) & set(truth)
    assert len({name for _, name in truth.values()}) == 9


def test_planted_copies_are_found_and_little_else(finished: Path, rooms: Manifest) -> None:
    truth = {frozenset((key, original)) for key, (original, _) in planted(rooms).items()}

    found = duplicates(finished)

    assert len(found & truth) >= 0.9 * len(truth)
    assert len(found - truth) <= 2


def test_of_each_found_pair_one_stays_and_the_list_says_why_the_other_goes(finished: Path, rooms: Manifest) -> None:
    keep_list = load_keep_list(str(finished / "keep_list.json"), rooms)
    keys = read_keys(rooms)
    kept = {keys[position] for position in keep_list.positions.tolist()}
    found = duplicates(finished)

    assert {one.key for one in keep_list.dropped} == set(keys) - kept
    for one in keep_list.dropped:
        assert (keys[one.position], one.reason) == (one.key, "near duplicate")
        assert one.kept in kept
        assert frozenset((one.key, one.kept)) in found
        assert one.distance is not None
        assert one.score is not None
    assert all(len(pair & kept) <= 1 for pair in found)


def test_the_same_command_again_finds_everything_done_and_writes_the_same(
    finished: Path, rooms: Manifest, tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {
        name: (finished / name).read_bytes() for name in ("keep_list.json", "pairs.csv", "report.html", "removed.jpg")
    }
    run_id = json.loads((finished / "result.json").read_text())["run_id"]
    times = {path: path.stat().st_mtime_ns for path in finished.glob("*/*.np[yz]")}

    assert dedup(rooms.location, finished, tracking) == 0

    assert "known from before" in capsys.readouterr().out
    assert {name: (finished / name).read_bytes() for name in before} == before
    assert {path: path.stat().st_mtime_ns for path in finished.glob("*/*.np[yz]")} == times
    assert json.loads((finished / "result.json").read_text())["run_id"] == run_id


def part_of(rooms: Manifest, shards: slice, folder: Path) -> str:
    """A data set of some of the shards."""
    folder.mkdir(exist_ok=True)
    for shard in rooms.shards[shards]:
        for name in (shard.name, shard.name.replace(".tar", ".index.npz")):
            if not (folder / name).exists():
                shutil.copy(Path(rooms.location) / name, folder / name)
    write_manifest(dataclasses.replace(rooms, shards=rooms.shards[shards]), folder)
    return str(folder)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(slice(0, 4), marks=pytest.mark.slow),
        slice(2, 6),
        pytest.param(slice(0, 6, 2), marks=pytest.mark.slow),
    ],
)
def test_shards_that_come_later_give_what_all_at_once_give(
    rooms: Manifest, finished: Path, coder: str, tracking: str, tmp_path: Path, first: slice
) -> None:
    assert dedup(part_of(rooms, first, tmp_path / "part"), tmp_path / "out", tracking, "--coder", coder) == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*.np[yz]")}
    assert dedup(rooms.location, tmp_path / "out", tracking) == 0

    for name in ("keep_list.json", "pairs.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()
    assert all(path.stat().st_mtime_ns == at for path, at in made.items())


def test_data_sets_given_apart_are_searched_together_and_each_gets_its_keep_list(
    rooms: Manifest, finished: Path, coder: str, tracking: str, tmp_path: Path
) -> None:
    paths = [part_of(rooms, slice(0, 4), tmp_path / "a"), part_of(rooms, slice(4, 6), tmp_path / "b")]
    assert dedup(paths, tmp_path / "out", tracking, "--coder", coder) == 0

    assert (tmp_path / "out" / "pairs.csv").read_bytes() == (finished / "pairs.csv").read_bytes()
    together = load_keep_list(str(finished / "keep_list.json"), rooms).positions
    parts = [load_keep_list(str(tmp_path / "out" / "keep_list.json"), load_manifest(path)).positions for path in paths]
    assert np.array_equal(np.concatenate([parts[0], parts[1] + 400]), together)


def test_protected_samples_never_go(rooms: Manifest, finished: Path, coder: str, tracking: str, tmp_path: Path) -> None:
    shards = part_of(rooms, slice(0, 4), tmp_path / "train")
    test = part_of(rooms, slice(4, 6), tmp_path / "test")
    assert dedup(shards, tmp_path / "out", tracking, "--protect", test, "--coder", coder) == 0

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    keep_list = load_keep_list(str(tmp_path / "out" / "keep_list.json"), load_manifest(shards))
    protected = set(read_keys(load_manifest(test)))
    assert (result["job"], result["thinned_images"], result["protected_images"]) == ("dedup", 400, 200)
    assert duplicates(tmp_path / "out") == duplicates(finished)
    for pair in duplicates(finished):
        dropped = {one.key for one in keep_list.dropped}
        assert not pair & protected or pair - protected <= dropped


@pytest.mark.parametrize("layout", ["samples", "blocks"])
def test_rewritten_shards_hold_what_stays_byte_for_byte(
    rooms: Manifest, coder: str, tracking: str, tmp_path: Path, layout: str
) -> None:
    options = ShardOptions(out=str(tmp_path / "in"), shard_samples=300, layout=layout, val_fraction=0.1, cpus=1)  # type: ignore[arg-type]
    manifest = prepare(planted_rooms(), options).manifest
    out, clean = tmp_path / "out", tmp_path / "clean"
    assert dedup(manifest.location, out, tracking, "--rewrite", str(clean), "--coder", coder) == 0

    written, train = load_manifest(str(clean)), manifest.split("train")
    positions = load_keep_list(str(out / "keep_list.json"), train).positions
    assert inspect(written).damages == []
    assert written.layout == layout
    assert read_keys(written.split("train")) == [read_keys(train)[position] for position in positions]
    assert read_keys(written.split("val")) == read_keys(manifest.split("val"))
    images = read_images(written.split("train"), 10_000, image_size=64)
    assert np.array_equal(images, read_images(train, positions, image_size=64))
    with ShardSamples(written, 0) as samples:
        assert all(details and "back_wall_box" in details for details in samples.details(range(5)))


def test_of_two_sizes_of_a_photograph_the_larger_stays(tmp_path: Path, tracking: str, coder: str) -> None:
    source = RoomSource(n=20, image_size=96)
    photos = tmp_path / "photos"
    photos.mkdir()
    for item in source.items():
        pixels = next(source.read(item)).pixels  # type: ignore[union-attr]
        (photos / f"{item.key}.png").write_bytes(encode_png(pixels))
        if item.ref < 5:
            (photos / f"a-small-{item.key}.png").write_bytes(encode_png(pixels[::2, ::2]))
    arguments = ["--source", str(photos), "--out", str(tmp_path / "in"), "--image-size", "32", "--cpus", "1"]
    assert prepare_folder.main(arguments) == 0

    assert dedup(str(tmp_path / "in"), tmp_path / "out", tracking, "--coder", coder) == 0

    dropped = load_keep_list(str(tmp_path / "out" / "keep_list.json"), load_manifest(str(tmp_path / "in"))).dropped
    assert [one.key for one in dropped] == [f"a-small-room-0-{number:07d}" for number in range(5)]


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        with path.open("wb") as file:
            np.savez(file, keys=np.array([{"never": "unpickled"}], object), codes=np.array([Trap()], object))


class Trap:
    """Marks that it was unpickled."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("/tmp/dedup-trap",)


@pytest.mark.parametrize("how", ["flipped", "cut", "pickled"])
def test_damaged_files_are_named_and_made_again(
    finished: Path, rooms: Manifest, tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    kinds = ["thumbnails/*.npy", "thumbnails/*.npz", "codes/*.npz", "pairs/*.npz", "flips/*.npz"]
    paths = [sorted(out.glob(kind))[number % 2 - 1] for number, kind in enumerate(kinds)]
    for path in paths:
        damage(path, how)

    assert dedup(rooms.location, out, tracking) == 0

    warnings = capsys.readouterr().out
    assert all(f"warning: {path} is damaged" in warnings for path in paths)
    for name in ("keep_list.json", "report.html"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert not Path("/tmp/dedup-trap").exists()


def test_thumbnails_are_judged_by_their_hash_where_their_time_has_changed(
    finished: Path, rooms: Manifest, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    shard = open_corpus([rooms.location], ()).shards[0]
    path, sound = pictures_path(tmp_path / "out", shard), pictures_path(finished, shard)
    damage(path, "flipped")
    with pytest.raises(Damaged, match="SHA-256"):
        load_thumbnails(tmp_path / "out", shard)
    os.utime(path, ns=(0, sound.stat().st_mtime_ns))

    assert load_thumbnails(tmp_path / "out", shard)  # it was not read, or this would be noticed

    shutil.copyfile(sound, path)
    copied = load_thumbnails(tmp_path / "out", shard)

    assert path.stat().st_mtime_ns != sound.stat().st_mtime_ns
    assert copied
    assert copied.sha256 == sha256_of(path)


def test_thumbnails_without_a_noted_time_are_judged_by_their_hash(
    finished: Path, rooms: Manifest, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    shard = open_corpus([rooms.location], ()).shards[0]
    path = pictures_path(tmp_path / "out", shard)
    about = read_npz(path.with_suffix(".npz"))
    assert int(about.pop("written_ns")) == path.stat().st_mtime_ns
    write_npz(path.with_suffix(".npz"), **about)
    assert load_thumbnails(tmp_path / "out", shard)
    damage(path, "flipped")
    os.utime(path, ns=(0, 0))

    with pytest.raises(Damaged, match="SHA-256"):
        load_thumbnails(tmp_path / "out", shard)


def test_longer_codes_have_a_coder_of_their_own(rooms: Manifest, coder: str, tracking: str, tmp_path: Path) -> None:
    assert dedup(rooms.location, tmp_path / "out", tracking, "--code-bits", "256") == 0

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["code_bits"], result["coder"]) == (256, coder_hash(tmp_path / "out" / "coder-recommended-256"))
    assert result["radius"] > 128 // 2  # half of the bits of unrelated images differ, less in a few
    with pytest.raises(InputError, match=r"`coder` .* has 128 bits: add `code_bits` 128"):
        dedup(rooms.location, tmp_path / "out", tracking, "--code-bits", "256", "--coder", coder)


def test_a_damaged_coder_of_someone_is_refused(finished: Path, rooms: Manifest, tracking: str, tmp_path: Path) -> None:
    shutil.copytree(finished / "coder-recommended", tmp_path / "coder")
    damage(tmp_path / "coder" / "coder.npz", "flipped")

    with pytest.raises(InputError, match="hash"):
        dedup(rooms.location, tmp_path / "out", tracking, "--coder", str(tmp_path / "coder"))


def test_samples_that_cannot_be_read_go_with_their_reason_and_come_back_once_mended(
    rooms: Manifest, finished: Path, coder: str, tracking: str, tmp_path: Path
) -> None:
    shards = part_of(rooms, slice(0, 6), tmp_path / "in")
    tar = tmp_path / "in" / rooms.shards[1].name
    sound = tar.read_bytes()
    broken = bytearray(sound)
    with ShardSamples(rooms, 1) as samples:
        offset, key = int(samples._index.offsets[7]), samples.keys[7]
    broken[offset + 100] ^= 0xFF
    tar.write_bytes(broken)
    assert dedup(shards, tmp_path / "out", tracking, "--coder", coder) == 0
    thumbnails = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "thumbnails").glob("*.npy")}
    assert dedup(shards, tmp_path / "out", tracking) == 0
    assert {path: path.stat().st_mtime_ns for path in thumbnails} == thumbnails  # it is still damaged
    with (tmp_path / "out" / "unreadable.csv").open(newline="") as file:
        assert [(row["key"], row["protected"]) for row in csv.DictReader(file)] == [(key, "0")]
    bad = [one for one in load_keep_list(str(tmp_path / "out" / "keep_list.json"), rooms).dropped if one.key == key]
    tar.write_bytes(sound)
    assert dedup(shards, tmp_path / "out", tracking) == 0

    assert bad[0].reason.startswith("unreadable: ")
    assert not (tmp_path / "out" / "unreadable.csv").exists()
    assert (tmp_path / "out" / "keep_list.json").read_bytes() == (finished / "keep_list.json").read_bytes()


def test_protected_samples_that_cannot_be_read_are_counted_and_named(
    rooms: Manifest, coder: str, tracking: str, tmp_path: Path
) -> None:
    shards, test = (part_of(rooms, slice(number, number + 2), tmp_path / str(number)) for number in (0, 2))
    damage_sample(load_manifest(test), 5)

    assert dedup(shards, tmp_path / "out", tracking, "--protect", test, "--coder", coder) == 0

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["unreadable"], result["unreadable_protected"]) == (0, 1)
    with (tmp_path / "out" / "unreadable.csv").open(newline="") as file:
        assert [(row["key"], row["protected"]) for row in csv.DictReader(file)] == [
            (read_keys(load_manifest(test))[5], "1")
        ]


def test_two_jobs_do_not_work_in_one_folder(rooms: Manifest, tracking: str, tmp_path: Path) -> None:
    with only_job(tmp_path / "out"), pytest.raises(InputError, match="in use by another job"):
        dedup(rooms.location, tmp_path / "out", tracking)

    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_a_dry_run_tells_the_plan_with_the_radius_of_the_job_and_writes_nothing(
    rooms: Manifest, finished: Path, tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dedup(rooms.location, tmp_path / "out", tracking, "--dry-run") == 0

    said = capsys.readouterr().out
    assert "600 images in 6 shards, thinned out" in said
    radius = json.loads((finished / "result.json").read_text())["radius"]
    assert f"radius {radius}, about\n" in said
    assert "search:" in said
    assert "memory" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--radius=-1"], "at least 0"),
        (["--protect", "/nowhere"], "does not exist"),
        (["--coder", "/nowhere"], "coder"),
    ],
)
def test_wrong_input_is_answered_by_a_message(
    rooms: Manifest,
    tracking: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    with pytest.raises((InputError, SystemExit)) as answered:
        dedup(rooms.location, tmp_path / "out", tracking, *more)

    assert message in str(answered.value) + capsys.readouterr().err
    assert not isinstance(answered.value, SystemExit) or answered.value.code == 2


def test_a_data_set_cannot_be_thinned_out_and_protected_at_once(rooms: Manifest, tracking: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named twice"):
        dedup(rooms.location, tmp_path / "out", tracking, "--protect", rooms.location)


@pytest.mark.slow
def test_a_job_killed_at_any_moment_ends_with_the_same_keep_list(
    rooms: Manifest, tracking: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng()
    arguments = ["--shards", rooms.location, "--tracking-uri", tracking, "--cpus", "1"]
    finished, command = (
        [sys.executable, str(JOBS / "dedup_lsun.py"), *arguments, "--out", str(tmp_path / name)]
        for name in ("finished", "out")
    )
    # A coder that is fitted again comes out the same on as many threads only.
    environment = os.environ | {"PYTHONPATH": str(JOBS.parent), "OMP_NUM_THREADS": "1"}
    subprocess.run(finished, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kills = 0
    while kills < 12:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        waited = time.monotonic()
        while not (tmp_path / "out").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 1.0)) * (1 + kills / 4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert time.monotonic() - waited < 120
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert kills >= 3
    for name in ("keep_list.json", "pairs.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "finished" / name).read_bytes()


def test_codes_are_found_by_key_in_their_files(finished: Path, rooms: Manifest) -> None:
    files = sorted((finished / "codes").glob("*.npz"))

    content = [read_npz(file) for file in files]

    assert [key.decode() for one in content for key in one["keys"].tolist()] == read_keys(rooms)
    assert all(one["codes"].shape == (100, 16) for one in content)


def test_a_rewrite_that_fails_leaves_keep_list_and_result_of_one_run(
    rooms: Manifest, finished: Path, tracking: str, tmp_path: Path
) -> None:
    out, occupied = tmp_path / "out", tmp_path / "occupied"
    prepare(RoomSource(n=20), ShardOptions(out=str(occupied)))
    shutil.copytree(finished, out)
    for name in ("keep_list.json", "result.json"):
        (out / name).unlink()

    with pytest.raises(InputError, match="choose another `rewrite`"):
        dedup(rooms.location, out, tracking, "--rewrite", str(occupied))

    result = json.loads((out / "result.json").read_text())
    assert result["keep_list_hashes"] == [load_keep_list(str(out / "keep_list.json"), rooms).hash]
    assert result["run_id"]
    assert "rewritten" not in result


def test_data_sets_that_cannot_become_one_are_refused_before_any_work(
    rooms: Manifest, tracking: str, tmp_path: Path
) -> None:
    blocks = prepare(RoomSource(n=20), ShardOptions(out=str(tmp_path / "blocks"), layout="blocks")).manifest

    with pytest.raises(InputError, match="`rewrite`: data sets of different layout"):
        dedup([rooms.location, blocks.location], tmp_path / "out", tracking, "--rewrite", str(tmp_path / "clean"))

    assert not (tmp_path / "out").exists()


def test_a_tracking_server_that_does_not_answer_is_found_out_before_any_work(rooms: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not answer"):
        dedup(rooms.location, tmp_path / "out", "http://127.0.0.1:9")

    assert not (tmp_path / "out").exists()


def test_without_shards_those_that_training_would_read_are_searched(
    rooms: Manifest, tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCGAN_DIST_SHARDS", rooms.location)

    assert dedup_lsun.main(["--out", str(tmp_path / "out"), "--tracking-uri", tracking, "--dry-run"]) == 0

    assert "600 images in 6 shards, thinned out" in capsys.readouterr().out
