"""Stores that fail: reading and writing wait and go on exactly, or stop with a sentence that says what to do."""

import pytest

from dcgan_dist.storage import filesystems
from tests.storage.store_faults import ENDS, STORES, Case, cases, outcome

SHORT = {
    ("HTTP", "connections reset"),
    ("S3", "a byte changed on its way"),
    ("S3", "credentials expired (403)"),
    ("Google Cloud Storage", "a byte changed on its way"),
    ("Google Cloud Storage", "credentials expired (403)"),
    ("HTTP", "bodies cut in the middle"),
    ("HTTP without ranges", "an object vanishes while it is read"),
}
"""What the usual suite looks at, a second or two each."""


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(
            name,
            case,
            id=f"{name}: {case.name}",
            marks=() if (name, case.name) in SHORT else (pytest.mark.slow, pytest.mark.timeout(600)),
        )
        for case in cases(outage=15.0)
        for name in case.stores
    ],
)
def test_a_fault_of_a_store_ends_exactly_or_with_what_to_do(
    name: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "FIRST_PAUSE_SECONDS", 0.02)
    met = outcome(case, name)

    assert met.kind == case.right, met
    if case.right == ENDS:
        assert any(remedy in met.message for remedy in ("check the", "copy or prepare", "run the same command")), met


def test_the_short_form_names_faults_that_there_are() -> None:
    assert {(name, case.name) for case in cases(outage=15.0) for name in STORES} >= SHORT
