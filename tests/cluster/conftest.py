"""Runs and heads as in the tests of whole runs and of faults, and a home with a token."""

from pathlib import Path

import pytest

from tests.chaos.conftest import soak_config, straight, straight_hashes  # noqa: F401
from tests.end_to_end.conftest import make_config, make_config_in, room_shards, tracking_uri  # noqa: F401

TOKEN = "b" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a token that only its owner reads."""
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text(TOKEN)
    token.chmod(0o600)
    return tmp_path
