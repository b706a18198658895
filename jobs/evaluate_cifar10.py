"""Fill the CIFAR-10 table: accuracy of a linear machine on a discriminator's features, all labels and 400 per class.

A random discriminator of the same shape and one layer of K-means stand in the same table; --model untrained:imagenet32 measures
these alone, where nothing has been trained. With --protocol small: the first 6000 train and 4000 test images, for a look within
minutes.

python jobs/evaluate_cifar10.py --model models:/dcgan-imagenet-discriminator@candidate --data cifar10/ --out tables/cifar10
"""

from __future__ import annotations

from dcgan_dist.cli.command_line import parse, run


def main(argv: list[str]) -> int:
    """Measure, print, write result.json."""
    from dcgan_dist.tables.cifar10_table import Cifar10Table, fill_cifar10_table

    return fill_cifar10_table(parse(Cifar10Table, argv, description=__doc__ or ""))


if __name__ == "__main__":
    run(main)
