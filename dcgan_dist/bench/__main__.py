"""python -m dcgan_dist.bench NAME [--json FILE]: what is fast and what is right, measured where it is asked.

Names: data, step, layers, train, scaling (speed of training); neighbors, probe (speed of searching and solving);
dedup, duplicates, memorization (what is found of known truth). Each has its own --help.
"""

from __future__ import annotations

import importlib

from dcgan_dist.errors import InputError
from dcgan_dist.launch.command_line import run

BENCHMARKS = (
    *("data", "step", "layers", "train", "scaling"),
    *("neighbors", "probe"),
    *("dedup", "duplicates", "memorization"),
)


def main(argv: list[str]) -> int:
    """Run the benchmark named first, with the flags after it; only its own module is imported.

    Raises:
        InputError: no benchmark has this name.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if argv[0] not in BENCHMARKS:
        raise InputError(f"no benchmark {argv[0]!r}: name one of {', '.join(BENCHMARKS)}")
    return importlib.import_module(f"dcgan_dist.bench.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    run(main)
