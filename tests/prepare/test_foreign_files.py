"""Archives, folders and images as other people make them: nothing is left out, mixed up or blackened in silence."""

import gzip
import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.tar_members import walk_entries
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.plan import fingerprint, plan_shards
from dcgan_dist.prepare.preparations import PrepareFolder
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.image_files import find_images
from dcgan_dist.prepare.sources.imagenet import ImageNetSource
from dcgan_dist.prepare.write_shards import _claim, make_shard, prepare
from dcgan_dist.storage.stored_folder import StoredFolder
from tests.helpers.shards import pixels_of
from tests.helpers.tars import tar_of


def encoded(number: int = 0, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(number, 24)).save(buffer, kind)
    return buffer.getvalue()


def names(*sources: Path) -> list[str]:
    return [name for name, _ in find_images([str(source) for source in sources])]


def test_folders_behind_links_are_read_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    for folder in ("train/cat", "elsewhere/dog"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").write_bytes(encoded())
    (tmp_path / "train" / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    (tmp_path / "train" / "dog" / "up").symlink_to(tmp_path / "train")

    assert names(tmp_path / "train")[:2] == ["cat/0.png", "dog/0.png"]


def test_hard_links_in_a_tar_are_images_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded())
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("a.png", "b.png"):
            tar.add(tmp_path / name, name)

    images = find_images([str(tmp_path / "t.tar")])

    assert [name for name, _ in images] == ["a.png", "b.png"]
    assert [place.read_bytes() for _, place in images] == [encoded()] * 2


@pytest.mark.parametrize("more", [tar_of([("b.png", encoded(1))]), b"\0" * 4096 + b"x"])
def test_more_behind_the_end_of_a_tar_is_refused_as_a_source_and_as_a_shard(tmp_path: Path, more: bytes) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded())]) + more)

    for read in (lambda: find_images([str(tmp_path / "t.tar")]), lambda: load_manifest(str(tmp_path / "t.tar"))):
        with pytest.raises(InputError, match="more after the end of the archive"):
            read()


def test_a_name_that_comes_twice_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([("a.png", encoded()), ("b.png", encoded()), ("a.png", encoded(1))]))

    with pytest.raises(InputError, match=r"a\.png comes twice"):
        find_images([str(tmp_path / "t.tar")])


def test_a_name_that_is_not_utf8_becomes_an_escaped_key(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_bytes(encoded())

    assert [item.key for item in FolderSource(paths=(str(tmp_path),), image_size=16).items()] == ["caf%E9"]


def test_files_that_are_no_images_by_their_names_are_counted_and_sidecars_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jfif", "a.json", "b.tar.gz", "c.tar.gz", "plain"):
        (tmp_path / name).write_bytes(encoded(kind="JPEG"))

    assert names(tmp_path) == ["a.jfif"]
    assert "left out: 2 with .gz, 1 with no suffix; the first is 'b.tar.gz'" in caplog.text


def test_a_damaged_zip_member_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            packed.writestr(f"{number}.ppm", encoded(number, "PPM"))
    with zipfile.ZipFile(path) as packed:
        damaged = packed.infolist()[1]
    content = bytearray(path.read_bytes())
    first, size = damaged.header_offset + 30 + len(damaged.filename), damaged.compress_size
    content[first : first + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    source = FolderSource(paths=(str(path),), image_size=16)

    results = [next(iter(source.read(item))) for item in source.items()]

    assert [type(result).__name__ for result in results] == ["Sample", "Rejected", "Sample"]


def test_a_source_that_has_changed_is_said_and_where_preparation_is_unfinished_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        (tmp_path / "in" / f"{number}.png").write_bytes(encoded(number))
    options = PrepareFolder(
        source=(str(tmp_path / "in"),), out=str(tmp_path / "out"), image_size=24, cpus=1, shard_samples=1
    )
    source = FolderSource(paths=options.source, image_size=24)
    tasks = plan_shards(source, options)
    stored = StoredFolder(options.out)
    _claim(options.out, stored, fingerprint(source, options, tasks), source.state())
    make_shard(source, tasks[0], options.layout, options.out)
    before = (tmp_path / "out" / tasks[0].name).read_bytes()
    (tmp_path / "in" / "0.png").write_bytes(encoded(7))

    prepare(source, options)

    assert "all are read again" in caplog.text
    assert (tmp_path / "out" / tasks[0].name).read_bytes() != before

    prepare(source, options)
    assert "have changed since: to read them again" not in caplog.text
    (tmp_path / "in" / "1.png").write_bytes(encoded(8))
    prepare(source, options)
    assert "have changed since: to read them again" in caplog.text


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_links_and_devices_in_a_tar_are_counted_as_source_and_as_shard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        (tmp_path / "a.png").write_bytes(encoded())
        tar.add(tmp_path / "a.png", "a.png")
        tar.addfile(special("b.png", tarfile.SYMTYPE, "a.png"))
        tar.addfile(special("c.png", tarfile.FIFOTYPE))
        tar.addfile(special("d.png", tarfile.LNKTYPE, "elsewhere.png"))

    assert names(tmp_path / "t.tar") == ["a.png"]
    assert load_manifest(str(tmp_path / "t.tar")).samples == 1
    assert caplog.text.count("3 links or devices; the first is 'b.png'") == 2


def test_names_of_any_kind_are_read_from_a_tar_and_become_keys(tmp_path: Path) -> None:
    members = ("caf\udce9.png", "x\x1b[31m.png", "/abs/a.png", "../up.png", "./dot.png")
    (tmp_path / "t.tar").write_bytes(tar_of([(name, encoded()) for name in members]))

    keys = [item.key for item in FolderSource(paths=(str(tmp_path / "t.tar"),), image_size=16).items()]

    assert {*keys} == {"%2E%2E/up", "dot", "%2Fabs%2Fa", "caf%E9", "x%1B%5B31m"}


def test_a_sparse_file_in_a_tar_is_told_as_one(tmp_path: Path) -> None:
    with (tmp_path / "s.png").open("wb") as file:
        file.write(encoded())
        file.truncate(1 << 20)
    subprocess.run(["tar", "--sparse", "-cf", tmp_path / "t.tar", "-C", tmp_path, "s.png"], check=True)

    for read in (lambda: find_images([str(tmp_path / "t.tar")]), lambda: load_manifest(str(tmp_path / "t.tar"))):
        with pytest.raises(InputError, match=r"s\.png.* a sparse file: pack the tar again"):
            read()


@pytest.mark.parametrize("damage", ["joined", "cut", "gzip"])
def test_a_tar_in_a_tar_is_checked_as_one_by_itself(tmp_path: Path, damage: str) -> None:
    inner = tar_of([("a.png", encoded())])
    inner = {"joined": inner + inner, "cut": inner[:1024], "gzip": gzip.compress(inner)}[damage]
    (tmp_path / "t.tar").write_bytes(tar_of([("n01.TAR", inner), ("b.png", encoded())]))

    with pytest.raises(InputError, match=r"more after the end|closing zero|cut|not a plain tar"):
        find_images([str(tmp_path / "t.tar")])


def test_links_that_lead_to_each_other_end_and_no_image_comes_twice_by_them(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(encoded())
        (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    for number in range(3):
        (tmp_path / f"up{number}").symlink_to(tmp_path)

    assert names(tmp_path) == ["a/a.png", "a/to_b/b.png", "b/b.png", "b/to_a/a.png"]
    assert FolderSource(paths=(str(tmp_path),), image_size=16).state()


def test_what_systems_hide_beside_images_is_no_class_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("cat/0.png", ".ipynb_checkpoints/0.png", "__MACOSX/cat/0.png", "cat/._0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(encoded())

    assert ImageNetSource(paths=(str(tmp_path),), image_size=16).class_names() == ("cat",)
    assert "left out: 3 hidden; the first is '.ipynb_checkpoints'" in caplog.text


def test_a_source_that_is_named_twice_or_lies_in_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(encoded())
    (tmp_path / "link").symlink_to(tmp_path / "a")

    for other in ("a", ".", "link", "a/0.png"):
        with pytest.raises(InputError, match="its images would come twice"):
            names(tmp_path / "a", tmp_path / other)


def test_images_of_sources_with_equal_names_have_keys_of_their_own(tmp_path: Path) -> None:
    for name in ("x/a", "y/a", "z/a-0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").write_bytes(encoded())

    assert len(set(names(*(tmp_path / name for name in ("x/a", "y/a", "z/a-0"))))) == 3


def test_an_archive_that_is_not_read_is_named_where_there_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "t.tar.zst").write_bytes(b"x")

    with pytest.raises(InputError, match=r"no image in .*, only 1 with \.zst; .*unpack other archives"):
        find_images([str(tmp_path / "t.tar.zst")])


def test_a_zip_whose_names_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr("\xe9.png", encoded())
    (tmp_path / "z.zip").write_bytes((tmp_path / "z.zip").read_bytes().replace("\xe9".encode(), b"\xff\xff"))

    with pytest.raises(InputError, match="is not a whole zip"):
        find_images([str(tmp_path / "z.zip")])


def test_a_preparation_without_an_image_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    options = PrepareFolder(source=(str(tmp_path / "in"),), out=str(tmp_path / "out"), image_size=8, cpus=1)

    with pytest.raises(InputError, match="no usable image among 1 items"):
        prepare(FolderSource(paths=options.source, image_size=8), options)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("place", ["a::b", "a::file", "100%", "a#b", "a?b", "[a]*", " a ", "\xe9\n"])
def test_shards_may_lie_in_a_folder_of_any_name(tmp_path: Path, place: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encoded())
    options = PrepareFolder(source=(str(tmp_path / "in"),), out=str(tmp_path / place), image_size=8, cpus=1)

    prepare(FolderSource(paths=options.source, image_size=8), options)

    assert load_manifest(str(tmp_path / place)).samples == 1


def test_a_pipe_and_a_link_to_itself_that_are_called_archives_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.zip")
    with pytest.raises(InputError, match=r"p\.zip cannot be read \(it is no file\)"):
        names(tmp_path)
    (tmp_path / "p.zip").unlink()
    (tmp_path / "l.tar").symlink_to("l.tar")
    with pytest.raises(InputError, match=r"l\.tar cannot be read \(Too many levels"):
        names(tmp_path)
    with pytest.raises(InputError, match=r"l\.tar does not exist"):
        names(tmp_path / "l.tar", tmp_path / "none")


def test_many_members_of_a_tar_are_not_all_in_memory(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(tar_of([(f"{number}.png", b"x") for number in range(64)]))

    assert max(len(vars(tar)["members"]) for tar, _ in walk_entries(tmp_path / "t.tar")) <= 1
