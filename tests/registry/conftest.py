"""Both kinds of place for registered models."""

from tests.helpers.tracking_places import _nothing_in_the_working_directory, database, server, tracking_uri  # noqa: F401
