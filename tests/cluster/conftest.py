"""Runs and heads as in the tests of whole runs and of faults, and a home with a token."""

from pathlib import Path

import pytest

from tests.chaos.conftest import soak_config, straight, straight_hashes  # noqa: F401
from tests.end_to_end.conftest import make_config, make_config_in, room_shards, tracking_uri  # noqa: F401
from tests.helpers.head import give_token

TOKEN = "b" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a token that only its owner reads."""
    give_token(tmp_path, TOKEN)
    return tmp_path
