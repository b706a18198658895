"""Fill the SVHN table: test error of a linear SVM on a discriminator's features, with 1000 labels.

C is chosen on 10,000 validation images by 10 draws of 100 labels per class, the error is the mean of 100 new draws. With
--protocol small: five splits of the first 946 digits, for a look within minutes.

python jobs/evaluate_svhn.py --model models:/dcgan-svhn-discriminator@candidate --data svhn/ --out tables/svhn
"""

from functools import partial

from dcgan_dist.cli.command_line import run
from dcgan_dist.tables.table_options import SvhnTableOptions, fill_from_flags

main = partial(fill_from_flags, SvhnTableOptions, description=__doc__ or "")

if __name__ == "__main__":
    run(main)
