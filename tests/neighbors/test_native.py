"""The C++ part: built once, by whoever comes first, and done without where it cannot be built."""

import logging
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dcgan_dist.neighbors import native
from dcgan_dist.neighbors.hamming import pairs_within, plan_pairs

needs_compiler = pytest.mark.skipif(native.library() is None, reason="no C++ compiler")


@needs_compiler
def test_processes_that_build_at_once_all_get_the_whole_library(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from dcgan_dist.neighbors.native import load; print(load(Path({str(tmp_path)!r})).tile_pairs())"

    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in started]

    assert outputs == ["262144"] * 3
    assert len(list(tmp_path.iterdir())) == 1


@needs_compiler
def test_a_library_is_built_once_and_again_for_another_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native.load(tmp_path)
    (first,) = tmp_path.iterdir()
    written = first.stat().st_mtime_ns
    other = tmp_path / "other.cpp"
    other.write_text(native.SOURCE.read_text() + "\n// changed\n")

    native.load(tmp_path)
    monkeypatch.setattr(native, "SOURCE", other)
    native.load(tmp_path)

    assert first.stat().st_mtime_ns == written
    assert len(list(tmp_path.glob("*.so"))) == 2


def test_a_compiler_that_fails_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)

    with pytest.raises(RuntimeError, match="broken failed: no space left"):
        native.load(tmp_path / "cache", str(compiler))

    assert not list((tmp_path / "cache").iterdir())


def test_without_a_compiler_faiss_searches_after_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    codes = np.random.default_rng(0).integers(0, 2, (500, 16), np.uint8)
    expected = sum(len(pairs.first) for pairs in pairs_within(codes, 5))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    native.library.cache_clear()

    try:
        with caplog.at_level(logging.WARNING):
            counts = [sum(len(pairs.first) for pairs in pairs_within(codes, 5)) for _ in range(2)]
            planned = plan_pairs(codes, 5).method
    finally:
        native.library.cache_clear()

    assert counts == [expected, expected]
    assert planned.startswith("faiss")
    assert len(caplog.records) == 1
    assert "no C++ compiler" in caplog.text
