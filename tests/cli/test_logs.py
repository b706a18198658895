"""What a job prints of its own log and of others'."""

import os
import re
import subprocess
import sys

LOGS = """
import logging
from dcgan_dist.cli.logs import show_logs
show_logs()
logging.info("makes logging add a handler of its own where there is none")
logging.getLogger("dcgan_dist.x").info("read %s", "`out`")
logging.getLogger("dcgan_dist.x").warning("careful")
logging.getLogger("other").warning("from elsewhere")
"""


def test_every_message_comes_once_and_warnings_of_others_too() -> None:
    done = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["read --out", "warning: careful"]
    assert done.stderr.splitlines() == ["from elsewhere"]


SILENCE = """
import logging, sys, time
from dcgan_dist.cli import logs
from dcgan_dist.cli.progress import progress_bar
logs.LONGEST_SILENCE = 0.2
logs.show_logs()
log = logging.getLogger("dcgan_dist.x")
with logs.no_long_silence():
    log.info("begins")
    time.sleep(0.9)
    print("-", file=sys.stderr, flush=True)
    with progress_bar(2, "pictures", unit="step"):
        time.sleep(0.9)
        log.info("above the bar")
    print("-", file=sys.stderr, flush=True)
    log.info("the page is served", extra=logs.CALM)
    time.sleep(0.9)
"""


def test_a_job_that_works_in_silence_says_so_and_no_message_lands_in_a_bar() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DCGAN_DIST_QUIET"}
    done = subprocess.run([sys.executable, "-c", SILENCE], env=environment, capture_output=True, text=True, check=True)
    silent, bar, served = done.stderr.split("-\n")

    assert len(re.findall("^  still working, 0:00:0[01] since the last message$", silent, re.M)) >= 2
    assert "still working" not in bar + served
    assert done.stdout.splitlines() == ["begins", "above the bar", "the page is served"]
    assert bar.count("pictures:") >= 2  # the bar was taken away for the message, and drawn again
