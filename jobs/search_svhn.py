"""Search at random for the best purely supervised network of the discriminator's architecture, from 1000 SVHN labels.

The paper's comparison: 64 random configurations are trained on 1000 labels (100 per class) and compared on 10,000
validation images; the best is trained again on fresh draws of labels, registered, and reported beside the paper's 28.87 %.
The same command again goes on: trials that ended are kept, others go on from their checkpoints. On a cluster, trials run
wherever there is room: ray job submit -- python jobs/search_svhn.py --data /shared/svhn --gpus-per-trial 0.25.

python jobs/search_svhn.py --data digits        # needs no download: real digits, minutes on two CPU cores
"""

import dataclasses

from dcgan_dist.cli.command_line import absolute, absolute_places, parse, run
from dcgan_dist.search.search_config import SearchConfig


def main(argv: list[str]) -> int:
    """Exit code of a search."""
    config = parse(SearchConfig, argv, description=__doc__ or "")
    places = absolute_places(config.storage, config.tracking_uri)
    data = config.data if config.data == "digits" else absolute(config.data, "data")
    space = absolute(config.space, "space") if config.space.endswith(".json") else config.space
    from dcgan_dist.search.job import run_search

    return run_search(dataclasses.replace(config, data=data, space=space, **places))


if __name__ == "__main__":
    run(main)
