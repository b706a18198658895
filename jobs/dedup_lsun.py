"""Find near duplicates in shards: codes, neighbours, verifier -> pairs, keep list, report.

python jobs/dedup_lsun.py --shards shards/lsun --out dedup/lsun
python jobs/dedup_lsun.py --shards train/*.tar --protect test/*.tar --out dedup/cifar10 --rewrite shards/clean

Train on what stays: jobs/train_lsun.py --shards shards/lsun --keep-list dedup/lsun/keep_list.json
The same command again goes on where it stopped; with more shards it does only what is new.
"""

from dataclasses import replace

from dcgan_dist.cli.command_line import absolute, absolute_tracking_uri, parse, run
from dcgan_dist.dedup.options import DedupOptions


def main(argv: list[str]) -> int:
    """Find near duplicates."""
    options = parse(DedupOptions, argv, description=__doc__ or "")
    options = replace(
        options,
        shards=[absolute(path, "shards") for path in options.shards],
        protect=[absolute(path, "protect") for path in options.protect],
        out=absolute(options.out, "out"),
        rewrite=absolute(options.rewrite, "rewrite") if options.rewrite else "",
        coder=absolute(options.coder, "coder") if options.coder else "",
        tracking_uri=absolute_tracking_uri(options.tracking_uri),
    )
    from dcgan_dist.dedup.job import run_dedup

    return run_dedup(options)


if __name__ == "__main__":
    run(main)
