"""Look inside a trained model: walk, filters, windows, arithmetic or turn.

python jobs/explore.py walk --model models:/dcgan-faces-generator@candidate --out explored/walk

python jobs/explore.py arithmetic --model models:/dcgan-faces-generator@candidate --labelled smiles.tar --out explored/smile

Each writes pictures and a result.json into --out; jobs/report.py puts several together. docs/exploring.md explains them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import tyro

from dcgan_dist.cli.command_line import absolute_tracking_uri, parse, run
from dcgan_dist.explore.exploration_options import ArithmeticJob, FiltersJob, TurnJob, WalkJob, WindowsJob

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
    exploration = _exploration(job)(job, argv[1:])
    path = exploration.finish()
    print(json.dumps(exploration.figures, indent=1))
    for picture in exploration.pictures:
        print(f"{exploration.folder / picture['file']}: {picture['caption']}")
    print(f"result in {path}")
    return 0


def _exploration(job: Any) -> Callable[[Any, list[str]], Any]:
    """The function that does a job; only its own modules are loaded, and none for --help."""
    match job:
        case WalkJob():
            from dcgan_dist.explore.walk import run_walk as explore
        case FiltersJob():
            from dcgan_dist.explore.filters import run_filters as explore
        case WindowsJob():
            from dcgan_dist.explore.windows import run_windows as explore
        case ArithmeticJob():
            from dcgan_dist.explore.arithmetic import run_arithmetic as explore
        case _:
            from dcgan_dist.explore.turn import run_turn as explore
    return explore


if __name__ == "__main__":
    run(main)
