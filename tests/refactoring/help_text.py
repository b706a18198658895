"""The flags of a job, read from its --help; the prose between them may be reworded."""

import re

FLAG_LINE = re.compile(r"^ ?(?P<flag>-\S.*?)(?: {2,}(?P<prose>.*))?$")
"""Flags begin at the left edge of their box, prose is indented."""
MARKS = re.compile(r"\((?:default: .*|required|optional|repeatable)\)$")
"""What ends the prose of a flag and says whether and how it has a default."""


def parse_flags(text: str) -> dict[str, str]:
    """Values that each flag takes and its default, from what --help prints in one column.

    Returns:
        By flag, with its aliases as printed: the kind of value or the choices, then "(required)" or "(default: ...)".
    """
    entries: list[list[str]] = []
    in_group = False
    for line in text.splitlines():
        if not line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL}"):
            in_group = False  # a group of options ends, and the next begins with prose about itself
            continue
        line = line.strip("\N{BOX DRAWINGS LIGHT VERTICAL}").rstrip()
        match = FLAG_LINE.match(line)
        if match is None:
            if in_group:
                entries[-1][1] += f" {line}"
        elif in_group and entries[-1][0].endswith(",") and not entries[-1][1]:
            entries[-1] = [f"{entries[-1][0]} {match['flag']}", match["prose"] or ""]
        else:
            entries.append([match["flag"], match["prose"] or ""])
            in_group = True
    if not entries:
        raise ValueError(f"no flag in a box in this help text:\n{text}")
    return dict(_entry(invocation, prose) for invocation, prose in entries)


def parse_subcommands(text: str) -> list[str]:
    """Names of the sub-commands in the line of usage; none for most jobs."""
    match = re.match(r"usage: [^{\n]*\{([^}\n]*)\}", text)
    return match[1].split(",") if match else []


def _entry(invocation: str, prose: str) -> tuple[str, str]:
    names, values = [], []
    for word in invocation.split(" "):
        (names if word.startswith("-") and not values else values).append(word)
    prose = _unwrap(prose)
    start = max(prose.rfind("(default: "), prose.rfind("(required)"), prose.rfind("(optional)"))
    default = prose[start:] if start >= 0 and MARKS.search(prose[start:]) else ""
    return " ".join(names), " ".join(filter(None, [_unwrap(" ".join(values)), default]))


def _unwrap(text: str) -> str:
    """The text on one line; lists are broken after their commas, without a space."""
    return re.sub(r",\s+", ",", " ".join(text.split()))
