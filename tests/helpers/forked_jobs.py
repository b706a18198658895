"""Many jobs by one interpreter: reads [[job, argument, ...], ...] from its input, prints [[exit code, output, errors], ...] as JSON.

What jobs import is imported once, and each job runs in a fork, as its process would run.
"""

import gc
import importlib
import json
import os
import pkgutil
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import dcgan_dist
from dcgan_dist.cli.command_line import run
from tests.helpers.jobs import load_job


def _run(command: list[str], output: int, errors: int) -> None:
    """Run a job and leave the process."""
    os.dup2(output, 1)
    os.dup2(errors, 2)
    code = 1
    try:
        sys.argv = [f"{command[0]}.py", *command[1:]]
        run(load_job(command[0]))
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Import, run, print."""
    results = []
    commands = json.load(sys.stdin)
    for module in pkgutil.walk_packages(dcgan_dist.__path__, "dcgan_dist."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # so that a fork's collector does not copy what it shares
    for command in commands:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            if (child := os.fork()) == 0:
                _run(command, output.fileno(), errors.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            errors.seek(0)
            results.append((code, output.read().decode(), errors.read().decode()))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
