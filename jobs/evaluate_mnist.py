"""Fill the MNIST table: test error of the nearest neighbour rule that learns from generated digits; trains nothing.

1 K, 10 K, 50 K and 10 M digits of a conditional generator pass through an exact search, a block at a time; none is kept. The same
command goes on where it was stopped.

python jobs/evaluate_mnist.py --model models:/dcgan-mnist-generator@candidate --data mnist/ --out tables/mnist
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.tables.table_options import MnistTableOptions


def main(argv: list[str]) -> int:
    """Measure, print, write result.json."""
    options = parse(MnistTableOptions, argv, description=__doc__ or "")
    from dcgan_dist.tables.job import fill_table
    from dcgan_dist.tables.mnist_table import MNIST_TABLE

    return fill_table(MNIST_TABLE, options)


if __name__ == "__main__":
    run(main)
