"""Look inside a trained model: walk, filters, windows, arithmetic or turn.

python jobs/explore.py walk --model models:/dcgan-faces-generator@candidate --out explored/walk

python jobs/explore.py arithmetic --model models:/dcgan-faces-generator@candidate --labelled smiles.tar --out explored/smile

Each writes pictures and a result.json into --out; jobs/report.py puts several together. docs/exploring.md explains them.
"""

import importlib
import json
import operator
from dataclasses import replace
from functools import reduce
from typing import Annotated, Any

import tyro

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri, parse, run
from dcgan_dist.explore.exploration_options import ArithmeticJob, FiltersJob, TurnJob, WalkJob, WindowsJob
from dcgan_dist.storage.copies import local_output

JOBS = {"walk": WalkJob, "filters": FiltersJob, "windows": WindowsJob, "arithmetic": ArithmeticJob, "turn": TurnJob}
Job: Any = reduce(operator.or_, (Annotated[options, tyro.conf.subcommand(name)] for name, options in JOBS.items()))


def main(argv: list[str]) -> int:
    """Explore, write, print."""
    job = parse(Job, argv, description=__doc__ or "")
    if job.tracking_uri:
        job = replace(job, tracking_uri=absolute_tracking_uri(job.tracking_uri))
    name = next(name for name, options in JOBS.items() if isinstance(job, options))
    explore = getattr(importlib.import_module(f"dcgan_dist.explore.{name}"), f"run_{name}")  # no other is loaded
    out = absolute(job.out, "out")
    with local_output(out, "out") as folder:
        exploration = explore(replace(job, out=str(folder)), argv[1:])
        path = exploration.finish()
    print(json.dumps(exploration.figures, indent=1))
    for picture in exploration.pictures:
        print(f"{out}/{picture['file']}: {picture['caption']}")
    print(f"result in {out}/{path.name}")
    return 0


if __name__ == "__main__":
    run(main)
