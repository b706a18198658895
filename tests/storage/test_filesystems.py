"""A storage behind fsspec that fails is told from one that is empty, and what lay there stays."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pyarrow.fs import FileType

from dcgan_dist.storage.run_folder import RunFolder
from tests.helpers import faulty_storage


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """The file that names the fault; no file, no fault."""
    return tmp_path / "behind" / "fault"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    faulty_storage.register()
    folder = RunFolder(f"faulty://{tmp_path}/behind/runs", "run")
    folder.write_json("part/result.json", {"x": 1})
    return folder


def test_files_are_written_listed_read_fetched_and_removed(folder: RunFolder, tmp_path: Path) -> None:
    part = f"{folder.path}/part"

    assert not folder.local
    assert folder.files("") == [part]
    assert folder.files("nothing") == []
    assert folder.read_json("part/result.json") == {"x": 1}
    assert folder.read_json("nothing.json") is None
    assert [path.name for path in folder.fetch(part, tmp_path / "copy").iterdir()] == ["result.json"]
    travelled = pickle.loads(pickle.dumps(folder.fs))  # noqa: S301  as Ray sends it to its controller
    assert travelled.get_file_info(part).type == FileType.Directory
    folder.remove(part)
    assert not folder.exists(part)


@pytest.mark.parametrize("request_", ["files", "read_json", "exists", "fetch"])
def test_no_answer_is_an_error_and_not_an_empty_storage(
    folder: RunFolder, control: Path, tmp_path: Path, request_: str
) -> None:
    control.write_text("503")
    requests = {
        "files": lambda: folder.files(""),
        "read_json": lambda: folder.read_json("part/result.json"),
        "exists": lambda: folder.exists(f"{folder.path}/part"),
        "fetch": lambda: folder.fetch(f"{folder.path}/part", tmp_path / "copy"),
    }

    with pytest.raises(OSError, match="503 Slow Down") as refusal:
        requests[request_]()

    assert not isinstance(refusal.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("fault", "words"), [("503", "503"), ("full", "No space left"), ("read-only", "Read-only file system")]
)
def test_a_refused_write_leaves_the_old_content(folder: RunFolder, control: Path, fault: str, words: str) -> None:
    control.write_text(fault)
    with pytest.raises(OSError, match=words):
        folder.write_json("part/result.json", {"x": 2})
    control.unlink()

    assert folder.read_json("part/result.json") == {"x": 1}
    assert folder.files("part") == [f"{folder.path}/part/result.json"], "a temporary file was left"
