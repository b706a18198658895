"""dcgan NAME [FLAGS]: every job by its name, as `python jobs/NAME.py` runs it from a clone."""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from dcgan_dist.cli.command_line import run
from dcgan_dist.errors import InputError, nearest

USAGE = """usage: dcgan NAME [FLAGS]        dcgan NAME --help tells all flags of a job

{jobs}

python -m dcgan_dist.doctor says what is wrong with this machine, its cluster and its servers."""


def jobs() -> Iterator[tuple[str, str]]:
    """Name of each job, as it is typed, and the first line of its help."""
    package = find_spec("dcgan_dist.jobs")
    folders = list(package.submodule_search_locations or []) if package else []
    for module in sorted(pkgutil.iter_modules(folders), key=lambda module: module.name):
        source = Path(folders[0], f"{module.name}.py").read_text(encoding="utf-8")
        first_line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        yield module.name.replace("_", "-"), first_line


def run_job(argv: list[str]) -> int:
    """Exit code of the job named first, with the flags after it; only its own modules are imported.

    Raises:
        InputError: no job has this name.
    """
    known = dict(jobs())
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, known))
        print(USAGE.format(jobs="\n".join(f"  {name:{width}}  {line}" for name, line in known.items())))
        return 0
    if argv[0] == "--version":
        from importlib.metadata import version

        print(version("dcgan_dist"))
        return 0
    name = argv[0].replace("_", "-")
    if name not in known:
        raise InputError(f"there is no job {argv[0]!r}{nearest(name, list(known))}")
    sys.argv[0] = f"dcgan {name}"  # what its --help shows
    return importlib.import_module(f"dcgan_dist.jobs.{name.replace('-', '_')}").main(argv[1:])


def main() -> NoReturn:
    """The command `dcgan`."""
    run(run_job)


if __name__ == "__main__":
    main()
