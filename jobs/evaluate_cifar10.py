"""Fill the CIFAR-10 table: accuracy of a linear SVM on a discriminator's features, all labels and 400 per class.

A random discriminator of the same shape and one layer of K-means stand in the same table; --model untrained:imagenet32 measures
these alone, where nothing has been trained. With --protocol small: the first 6000 train and 4000 test images, for a look within
minutes.

python jobs/evaluate_cifar10.py --model models:/dcgan-imagenet-discriminator@candidate --data cifar10/ --out tables/cifar10
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.tables.table_options import Cifar10TableOptions, fill_from_flags

main = partial(fill_from_flags, Cifar10TableOptions, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
