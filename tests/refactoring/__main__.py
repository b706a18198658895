"""The command line: record or compare."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import refactoring
from tests.refactoring.comparison import differences
from tests.refactoring.parts import PARTS
from tests.refactoring.workspace import JobError, Workspace


def observe(names: list[str]) -> dict[str, Any]:
    """Run parts by their keys of PARTS, one after the other; returns what was observed, by "part/name"."""
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rf", dir="/tmp", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(folder)
        for name in names:
            start = time.monotonic()
            observed = PARTS[name](workspace)
            values |= {f"{name}/{key}": value for key, value in observed.items()}
            print(f"{name}: {len(observed)} values in {time.monotonic() - start:.0f} s", flush=True)
    return values


def main(argv: list[str]) -> int:
    """Exit code: 0, or 1 after a difference or a failed job."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.refactoring",
        description=refactoring.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON file that is written or compared with")
    parser.add_argument("--only", default="", metavar="PREFIX", help=f"parts to run, of {', '.join(PARTS)}")
    options = parser.parse_args(argv)
    names = [name for name in PARTS if name.startswith(options.only)]
    if not names:
        parser.error(f"no part begins with {options.only!r}: give a prefix of {', '.join(PARTS)}")
    recorded = json.loads(options.file.read_text()) if options.action == "compare" else {}
    try:
        observed = observe(names)
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.action == "record":
        options.file.write_text(json.dumps(observed, indent=1, sort_keys=True) + "\n")
        print(f"{len(observed)} values in {options.file}")
        return 0
    before = {name: value for name, value in recorded.items() if name.partition("/")[0] in names}
    changes = differences(before, observed)
    for change in changes:
        print(change)
    print(f"{len(changes)} differences in {len(before)} recorded values")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
