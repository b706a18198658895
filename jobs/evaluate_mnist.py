"""Fill the MNIST table: test error of the nearest neighbour rule that learns from generated digits; trains nothing.

1 K, 10 K, 50 K and 10 M digits of a conditional generator pass through an exact search, a block at a time; none is kept. The same
command goes on where it was stopped.

python jobs/evaluate_mnist.py --model models:/dcgan-mnist-generator@candidate --data mnist/ --out tables/mnist
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.tables.table_options import MnistTableOptions, fill_from_flags

main = partial(fill_from_flags, MnistTableOptions, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
