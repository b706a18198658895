"""What a job prints of its own log and of others'."""

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
