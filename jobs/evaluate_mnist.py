"""Fill the MNIST table: test error of the nearest neighbour rule that learns from generated digits; trains nothing.

1 K, 10 K, 50 K and 10 M digits of a conditional generator pass through an exact search, a block at a time; none is kept. The same
command goes on where it was stopped.

python jobs/evaluate_mnist.py --model models:/dcgan-mnist-generator@candidate --data mnist/ --out tables/mnist
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import parse, run


def main(argv: list[str]) -> int:
    """Measure, print, write result.json."""
    from dcgan_dist.tables.mnist_table import MnistTable, fill_mnist_table

    return fill_mnist_table(parse(MnistTable, argv, description=__doc__ or ""))


if __name__ == "__main__":
    run(main)
