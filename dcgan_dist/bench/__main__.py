"""python -m dcgan_dist.bench NAME [--json FILE]: what is fast and what is right, measured where it is asked.

Names: data, step, layers, train, scaling (speed of training); neighbors, probe (speed of searching and solving);
dedup, duplicates, memorization (what is found of known truth). Each has its own --help.
"""

import importlib
import json
from functools import partial

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.errors import InputError

BENCHMARKS = {
    "data": "data_speed",
    "step": "step_speed",
    "layers": "layer_speed",
    "train": "train_speed",
    "scaling": "scaling",
    "neighbors": "neighbors",
    "probe": "svm_speed",
    **{name: name for name in ("dedup", "duplicates", "memorization")},
}
"""Module of each benchmark: `Options`, `measure` makes figures of them, `render` text of the figures; without it they are shown as JSON."""


def main(argv: list[str]) -> int:
    """Run the benchmark named first, with the flags after it; only its own module is imported."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    name, *flags = argv
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark {name!r}: name one of {', '.join(BENCHMARKS)}")
    benchmark = importlib.import_module(f"dcgan_dist.bench.{BENCHMARKS[name]}")
    options = parse(
        benchmark.Options,
        flags,
        description=benchmark.__doc__ or "",
        joins=False,
        prog=f"python -m dcgan_dist.bench {name}",
    )
    figures = benchmark.measure(options)
    print(getattr(benchmark, "render", partial(json.dumps, indent=1))(figures))
    write_json(options.json, figures)
    return 0


if __name__ == "__main__":
    run(main)
