"""The pages build without a dead link, and the commands they show exist with these flags."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.jobs import JOBS, load_job

PAGES = [JOBS.parent / "README.md", JOBS.parent / "CONTRIBUTING.md", *sorted((JOBS.parent / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(?:^|[ `])jobs/([a-z0-9_]+)\.py((?:(?!jobs/)[^\n`|;#])*)", re.M)


def commands() -> list[tuple[str, str, list[str]]]:
    """Page, job and flags of every command of a job that the pages show, continued lines joined."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ").replace("\\|", " ")
        for job, rest in COMMAND.findall(text):
            found.append((page.name, job, re.findall(r"(?<![\w-])--[a-z][\w.-]*[a-z]", rest)))
    return found


@cache
def help_text(job: str) -> str:
    """What `--help` of a job, and of each of its subcommands, says."""
    done = subprocess.run([sys.executable, JOBS / f"{job}.py", "--help"], capture_output=True, text=True, check=True)
    names = re.findall(r"^\W+([a-z]+)\s{2,}\S", done.stdout, re.M) if job == "explore" else []
    more = [
        subprocess.run([sys.executable, JOBS / f"{job}.py", name, "--help"], capture_output=True, text=True).stdout
        for name in names
    ]
    return "\n".join([done.stdout, *more])


def test_the_pages_show_every_job() -> None:
    assert {job for _, job, _ in commands()} >= {path.stem for path in JOBS.glob("[!_]*.py")}
    assert len(commands()) > 40


@pytest.mark.parametrize("job", sorted({job for _, job, _ in commands()}))
def test_every_flag_that_the_pages_show_exists(job: str) -> None:
    assert load_job(job)
    unknown = {
        (page, flag)
        for page, shown, flags in commands()
        for flag in flags
        if shown == job and not re.search(rf"{re.escape(flag)}(?![\w-])", help_text(job))
    }
    assert unknown == set()


def test_the_pages_build_without_a_dead_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]

    done = subprocess.run(command, cwd=JOBS.parent, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "load_generator" in (tmp_path / "api" / "index.html").read_text()
