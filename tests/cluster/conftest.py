"""Runs and heads as in the tests of whole runs and of faults."""

from tests.chaos.conftest import soak_config, straight, straight_hashes  # noqa: F401
from tests.end_to_end.conftest import make_config, make_config_in, room_shards, tracking_uri  # noqa: F401
