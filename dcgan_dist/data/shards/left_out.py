"""What lies beside images and is none by its name: counted by kind, so that nothing is left out in silence."""

from collections import Counter
from pathlib import PurePosixPath

SIDECARS = {".json", ".txt", ".cls", ".parquet", ".csv", ".xml", ".npz", ".idx", ".md"}
"""What belongs to images, and is not counted."""
LINK = "links or devices"
HIDDEN = "hidden"
MOST_KINDS = 10


class LeftOut:
    """Numbers of names by kind: the suffix, `HIDDEN`, or what `add` is told."""

    def __init__(self) -> None:
        self._first = ""
        self._kinds: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def add(self, name: str, kind: str = "") -> None:
        """Count a name unless it is a sidecar's."""
        suffix = PurePosixPath(name).suffix.lower()
        if not kind and suffix in SIDECARS:
            return
        self._first = self._first or name
        self._kinds[kind or (HIDDEN if is_hidden(name) else f"with {suffix}" if suffix else "with no suffix")] += 1

    def __str__(self) -> str:
        listed = ", ".join(f"{number} {kind}" for kind, number in sorted(self._kinds.most_common(MOST_KINDS)))
        others = len(self._kinds) - MOST_KINDS
        return f"{listed}{f' and {others} other kinds' if others > 0 else ''}; the first is {self._first!a}"


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it lies in, is hidden, or made by a system for itself."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != "..")
