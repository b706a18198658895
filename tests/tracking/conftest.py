"""Both kinds of place for tracked runs."""

from __future__ import annotations

from tests.helpers.tracking_places import (
    _nothing_in_the_working_directory,
    database,
    server,
    tracking_uri,
)

__all__ = ["_nothing_in_the_working_directory", "database", "server", "tracking_uri"]
