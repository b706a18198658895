"""The table of faults: python -m tests.chaos.table FILE prints what `DCGAN_DIST_FAULTS=FILE pytest -m chaos` wrote."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def print_table(rows: Sequence[dict]) -> None:
    """One line per kind of fault: how often, how it ended, worst and mean cost."""
    print(
        "\n| fault | times | outcome | record complete | steps lost, worst (mean) | seconds to recover, worst (median) |"
    )
    print("|---|---|---|---|---|---|")
    for fault in dict.fromkeys(row["fault"] for row in rows):
        same = [row for row in rows if row["fault"] == fault]
        lost = [row["steps_lost"] for row in same]
        seconds = sorted(row["seconds"] for row in same if row["seconds"] is not None)
        outcomes = ", ".join(dict.fromkeys(row["outcome"] for row in same))
        recovery = f"{seconds[-1]:.0f} ({seconds[len(seconds) // 2]:.0f})" if seconds else "no restart"
        complete = "yes" if all(row["record_complete"] for row in same) else "no"
        print(
            f"| {fault} | {len(same)} | {outcomes} | {complete} | {max(lost)} ({sum(lost) / len(lost):.0f}) | {recovery} |"
        )


if __name__ == "__main__":
    print_table(json.loads(Path(sys.argv[1]).read_text()))
