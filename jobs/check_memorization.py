"""Does a generator copy its training images? Samples are compared with training images and with images it has not seen.

python jobs/check_memorization.py --model models:/dcgan-lsun-generator@candidate --train shards/lsun --held-out shards/lsun --out memo/

python jobs/check_memorization.py --samples generated/ --train train.tar --held-out test.tar --out memo/

The verdict is pass, fail or inconclusive, with reasons and the least rate of copies that would have been found; it is in
OUT/result.json, in OUT/report.html, and a tag of the registered model, which jobs/promote.py asks for.
"""

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.memorization.check_options import MemorizationOptions


def main(argv: list[str]) -> int:
    """Check one generator."""
    options = parse(MemorizationOptions, argv, description=__doc__ or "")
    from dcgan_dist.memorization.job import run_check

    return run_check(options)


if __name__ == "__main__":
    run(main)
