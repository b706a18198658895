"""What the pages show: their blocks of code, and all commands of one page recorded or run by bash, in page order."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.jobs import JOBS

REPOSITORY = JOBS.parent
PAGES = {
    str(path.relative_to(REPOSITORY)): path
    for path in (
        *(REPOSITORY / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    )
}
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"\n]*)\")?\n(.*?)^```$", re.M | re.S)
NOT_HERE = re.compile(
    r"needs (PostgreSQL|docker|several machines|Kubernetes|AWS|Google Cloud|SVHN)|takes (minutes|hours)|as it was run"
)
"""Titles of blocks that no test runs: readers see them above the block."""
PROGRAMS = ("python", "python3", "ray", "mlflow", "make", "pre-commit", "psql", "sudo", "curl")
FOREIGN = ("docker", "kubectl", "aws", "gcloud", "ssh", "scp")
PROGRAM = f"""#!/bin/bash
if [ "$DCGAN_DIST_RECORD" ]; then
    {{ printf '%s\\0' "${{0##*/}}" "$@"; printf '\\n\\0'; }} >> "$DCGAN_DIST_RECORD"
else
    exec {sys.executable} {Path(__file__).with_name("page_program.py")} "${{0##*/}}" "$@"
fi
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in ("sh", "python") and not self.title


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, named by its path in the repository."""
    return [Block(*found) for found in FENCE.findall(PAGES[page].read_text())]


def make_clone(folder: Path) -> Path:
    """What a clone after `make install` looks like, in a folder: links to the files of this one, and programs that
    record how they are called, or do it on small data (see page_program); returns the folder."""
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in sorted({line.partition("/")[0] for line in names.splitlines()} - {"cluster"}):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "cluster").mkdir()  # pages write into it
    for path in (REPOSITORY / "cluster").iterdir():
        (folder / "cluster" / path.name).symlink_to(path)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in (*PROGRAMS, *FOREIGN):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    (programs / "activate").touch()
    (folder / ".venv" / "installed").touch()
    (folder / "home").mkdir()
    return folder


def bash(folder: Path, script: str, seconds: float, **settings: str) -> str:
    """Run a script in a folder that `make_clone` made, until its first command that fails; returns its output.

    Raises:
        AssertionError: a command failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    programs = folder / ".venv" / "bin"
    environment |= {"HOME": str(folder / "home"), "PATH": f"{programs}:/usr/bin:/bin"} | settings
    process = subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=(folder / "log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        code = process.wait(seconds)
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    output = (folder / "log").read_text(errors="replace")
    assert code == 0, output[-5000:]
    return output


def recorded(page: str, folder: Path) -> list[list[str]]:
    """Every command of Python, Ray, MLflow and make that a page's blocks call, as bash passes it on: program and arguments.

    Nothing is run but what bash itself and the system's small tools do.
    """
    record = folder / "record"
    script = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    bash(folder, f"set +e\n{script}\ntrue", 60, DCGAN_DIST_RECORD=str(record))
    calls = record.read_bytes().split(b"\n\0") if record.exists() else []
    return [[os.fsdecode(word) for word in call.split(b"\0")[:-1]] for call in calls if call]


def script_of(page: str, before: str, preamble: str, replaced: dict[str, str]) -> str:
    """All blocks of a page that a test runs, in its order, as one script.

    Args:
        page: its path in the repository.
        before: commands to begin with.
        preamble: Python code before every block of Python.
        replaced: what to write in the place of an address or a path that cannot be had here.
    """
    parts = [before]
    for number, block in enumerate(block for block in blocks(page) if block.runs):
        text = block.text
        for shown, here in replaced.items():
            text = text.replace(shown, here)
        if block.language == "python":
            text = f"cat > {number}.py <<'PYTHON'\n{preamble}\n{text}\nPYTHON\npython {number}.py\n"
        parts.append(text)
    return "\n".join(parts)


def shown(call: list[str]) -> str:
    """A command in an error."""
    return json.dumps(call)
