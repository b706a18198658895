"""What a format that is read from others is to the tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.mutations import Mutator


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A valid file and its readers."""

    path: Path
    mutate: Mutator
    read: Callable[[], object]
    seal: Callable[[], object] | None = None
    """Makes the hashes that others hold of the file right again: damage by intent has them right."""
