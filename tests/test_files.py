"""A file that is being written is seen by nobody."""

from pathlib import Path

import pytest

from dcgan_dist.files import is_own, private_folder, whole_file


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_could_not_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise OSError

    with pytest.raises(OSError):
        write_half()

    assert path.read_text() == "old"


def test_a_folder_that_others_may_write_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    own = private_folder(tmp_path / "a" / "own")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(own)
    (tmp_path / "file").touch()

    others = [private_folder(tmp_path / name) for name in ("open", "link", "file", "file/below")]

    assert private_folder(own) == own == tmp_path / "a" / "own"
    assert all(is_own(folder) and tmp_path not in folder.parents for folder in others)
