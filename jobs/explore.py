"""Look inside a trained model: walk, filters, windows, arithmetic or turn.

python jobs/explore.py walk --model models:/dcgan-faces-generator@candidate --out explored/walk

python jobs/explore.py arithmetic --model models:/dcgan-faces-generator@candidate --labelled smiles.tar --out explored/smile

Each writes pictures and a result.json into --out; jobs/report.py puts several together. docs/exploring.md explains them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import tyro

from dcgan_dist.cli.command_line import absolute_tracking_uri, parse, run
from dcgan_dist.explore.arithmetic import ArithmeticJob, run_arithmetic
from dcgan_dist.explore.filters import FiltersJob, run_filters
from dcgan_dist.explore.turn import TurnJob, run_turn
from dcgan_dist.explore.walk import WalkJob, run_walk
from dcgan_dist.explore.windows import WindowsJob, run_windows

JOBS = {
    WalkJob: run_walk,
    FiltersJob: run_filters,
    WindowsJob: run_windows,
    ArithmeticJob: run_arithmetic,
    TurnJob: run_turn,
}
Job: Any = (
    Annotated[WalkJob, tyro.conf.subcommand("walk")]
    | Annotated[FiltersJob, tyro.conf.subcommand("filters")]
    | Annotated[WindowsJob, tyro.conf.subcommand("windows")]
    | Annotated[ArithmeticJob, tyro.conf.subcommand("arithmetic")]
    | Annotated[TurnJob, tyro.conf.subcommand("turn")]
)


def main(argv: list[str]) -> int:
    """Explore, write, print."""
    job = parse(Job, argv, description=__doc__ or "")
    if job.tracking_uri:
        job = replace(job, tracking_uri=absolute_tracking_uri(job.tracking_uri))
    exploration = JOBS[type(job)](job, argv[1:])
    path = exploration.finish()
    print(json.dumps(exploration.figures, indent=1))
    for picture in exploration.pictures:
        print(f"{exploration.folder / picture['file']}: {picture['caption']}")
    print(f"result in {path}")
    return 0


if __name__ == "__main__":
    run(main)
