"""Files from strangers: whatever is in them, they are read, or refused with one sentence; quickly, and in little memory."""

import random
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcgan_dist.errors import LONGEST, InputError
from tests.hostile.formats import FORMATS, times

SECONDS = 10
MEGABYTES = 400


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def too_long(number: int, frame: object) -> None:
        raise AssertionError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_mutations(name: str, folder: Path, times: int, seed: int = 0) -> int:
    """Read so many mutations of a format's file; returns how many were refused.

    Raises:
        AssertionError: one was neither read nor refused with a sentence that can be printed; it is kept in the folder.
    """
    form = FORMATS[name](folder)
    valid = form.path.read_bytes()
    sealed = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if form.seal else {}
    form.read()
    memory, refused = 0.0, 0
    for number in range(times):
        for path, content in sealed.items():
            path.write_bytes(content)
        mutated = form.mutate(valid, random.Random(f"{name} {seed} {number}"))
        form.path.write_bytes(mutated)
        if form.seal:
            form.seal()
        try:
            with within(SECONDS):
                form.read()
        except InputError as error:
            refused += 1
            message = str(error)
            assert message.replace("\n", "").isprintable(), (number, message)
            assert len(message) <= LONGEST, (number, message)
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}: {type(error).__name__}: {str(error)[:300]}") from error
        if number == 0:
            memory = _peak_megabytes()
        assert _peak_megabytes() < memory + MEGABYTES, f"mutation {number} of {name} takes memory"
    return refused


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_from_a_stranger_is_read_or_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    n = times(name, 300)

    assert read_mutations(name, tmp_path, n) > n // 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_mutations_of_a_format(name: str, tmp_path: Path) -> None:
    begun, number = time.monotonic(), 1_000 if name.startswith("model:") else 10_000
    refused = read_mutations(name, tmp_path, number, seed=1)
    print(f"{name}: {number:,} mutations, {refused:,} refused, {time.monotonic() - begun:.0f} s")
