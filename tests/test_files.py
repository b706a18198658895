"""A file that is being written is seen by nobody."""

from pathlib import Path

import pytest

from dcgan_dist.files import whole_file


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
