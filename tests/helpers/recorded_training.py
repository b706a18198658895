"""jobs/train_lsun.py whose ranks also write down which images and which z each step used:

DCGAN_TEST_RECORDS=FOLDER python -m tests.helpers.recorded_training FLAGS
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

STEP_SECONDS = 0.05
"""At least so long takes a step, so that a run lasts long enough to lose and gain a node."""


def digest(real: Tensor, z: Tensor) -> str:
    """Hash of one row of a batch: its image and its z."""
    return hashlib.sha256(real.numpy().tobytes() + z.numpy().tobytes()).hexdigest()[:16]


def recording(folder: str) -> Callable[[dict[str, Any]], None]:
    """`train_rank` that appends a line per step to a file of its own process: step, ranks, digest by row."""

    def train_rank(arguments: dict[str, Any]) -> None:
        from dcgan_dist.runs import rank
        from dcgan_dist.training import gan

        adversarial_step, gan_step = gan.adversarial_step, rank.gan_step
        latest: list[str] = []

        def seen_step(players: Any, real: Tensor, z: Tensor, *parts: Any, **more: Any) -> Any:
            latest[:] = [digest(*row) for row in zip(real, z, strict=True)]
            return adversarial_step(players, real, z, *parts, **more)

        def recorded_step(config: Any, players: Any, *, rows: list[int], world_size: int, **more: Any) -> Any:
            step = gan_step(config, players, rows=rows, world_size=world_size, **more)

            def take(number: int, batch: Any) -> Any:
                scalars = step(number, batch)
                line = {"step": number, "ranks": world_size, "rows": dict(zip(rows, latest, strict=True))}
                with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")
                time.sleep(STEP_SECONDS)
                return scalars

            return take

        gan.adversarial_step, rank.gan_step = seen_step, recorded_step
        rank.train_rank(arguments)

    return train_rank


def records(folder: Path) -> list[dict[str, Any]]:
    """What all ranks wrote; a line that a killed one left torn is left out."""
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines() if line.endswith("}}")]
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    from dcgan_dist.runs import fit, job

    fit.train_rank = recording(os.environ["DCGAN_TEST_RECORDS"])
    sys.exit(job.train(sys.argv[1:], default_preset="demo32", description="A training that is written down."))
