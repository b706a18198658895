"""Whether a run is alive, and what may be trusted of its files."""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.storage import run_folder, scratch
from dcgan_dist.storage.run_folder import ALIVE_SECONDS, RunFolder, this_machine


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path), "run")


def test_a_second_job_under_a_live_name_is_refused_until_the_first_ends(folder: RunFolder) -> None:
    with folder.heartbeat(1.0):
        time.sleep(0.2)
        with pytest.raises(InputError, match="is alive"), RunFolder(folder.storage, "run").heartbeat(1.0):
            pass
    with folder.heartbeat(1.0):
        pass

    assert list(Path(folder.path).iterdir()) == []


def test_a_process_killed_on_this_machine_counts_as_dead_at_once(folder: RunFolder) -> None:
    code = (
        "import sys, time; from dcgan_dist.storage.run_folder import RunFolder\n"
        f"with RunFolder({folder.storage!r}, 'run').heartbeat(1.0):\n"
        "    print('alive', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        time.sleep(0.3)
        alive = folder.seconds_since_heartbeat()
        process.kill()

    assert alive is not None
    assert folder.seconds_since_heartbeat() is None
    folder.refuse_if_alive()


@pytest.mark.parametrize(
    ("age", "refused"), [(1.0, True), (ALIVE_SECONDS + 1, False), (-3600.0, False), (-1e300, False)]
)
def test_a_process_of_another_machine_counts_as_dead_by_its_silence(
    folder: RunFolder, age: float, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "LONGEST_PAUSE_SECONDS", 1.0)
    beat = {"machine": "another", "pid": 1, "process_started": 0.0, "time": time.time() - age}
    folder.write_json("heartbeat.json", beat)

    if refused:
        with pytest.raises(InputError, match="is alive"):
            folder.refuse_if_alive()
    else:
        folder.refuse_if_alive()


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_run_of_a_machine_whose_clock_is_wrong_lives_as_long_as_its_signs_go_on(
    folder: RunFolder, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beat() -> None:
        sign = {"machine": "another", "pid": 1, "process_started": 0.0, "time": time.time() + ahead}
        folder.write_json("heartbeat.json", sign)

    monkeypatch.setattr(run_folder, "LONGEST_PAUSE_SECONDS", 5.0)
    beat()
    next_beat = threading.Timer(0.7, beat)
    next_beat.start()

    with pytest.raises(InputError, match="is alive"):
        folder.refuse_if_alive()
    next_beat.join()


@pytest.mark.parametrize("name", ["../x", "/abs", "a/../b", ".", "", "x\n", "x\x1b[31m", "n" * 300, "a//b"])
def test_no_name_leads_out_of_the_storage(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="would lie outside `storage`"):
        RunFolder(str(tmp_path), name)


@pytest.mark.parametrize("content", ["[]", "7", '{"machine": 3}', '{"time": "x"}', "[" * 100_000, "{"])
def test_a_sign_of_life_that_nobody_gave_stops_no_run(folder: RunFolder, content: str) -> None:
    folder.write_bytes("heartbeat.json", content.encode())

    folder.refuse_if_alive()


def test_another_process_under_a_recycled_id_is_not_the_job(folder: RunFolder) -> None:
    beat = {"machine": this_machine(), "pid": 1, "process_started": 0.0, "time": time.time()}
    folder.write_json("heartbeat.json", beat)

    folder.refuse_if_alive()


def test_only_scratch_folders_of_our_own_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, others = tmp_path / f"{scratch._prefix()}999999999-ab", ["x", "999999999", f"{'9' * 30}-ab", "999999998-ab"]
    dead.mkdir(mode=0o700)
    for name in others:
        (tmp_path / f"{scratch._prefix()}{name}").mkdir(mode=0o700)
    (tmp_path / f"{scratch._prefix()}999999998-ab").chmod(0o777)

    assert scratch.abandoned_scratch() == [dead]
