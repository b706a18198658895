"""One page about one trained model: samples, explorations, tables, de-duplication and memorization beside what the paper says.

python jobs/report.py --model models:/dcgan-faces-generator@candidate --results explored/ --out report.html

The page holds all it shows, loads nothing and runs no script.
"""

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.report.report_options import ReportJob


def main(argv: list[str]) -> int:
    """Gather, write, keep."""
    job = parse(ReportJob, argv, description=__doc__ or "")
    from dcgan_dist.report.page import write_report

    print(f"report in {write_report(job, argv)}")
    return 0


if __name__ == "__main__":
    run(main)
