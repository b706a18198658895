"""The pages build without a dead link; every command that they show is run on small data, or parsed where a title says what it needs."""

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
import torch

from dcgan_dist.cli import command_line
from tests.doctor.samples import VALUES
from tests.helpers.jobs import JOBS, load_job
from tests.helpers.object_store import s3_bucket
from tests.helpers.page_data import make_places
from tests.helpers.pages import FENCE, NOT_HERE, PAGES, REPOSITORY, bash, blocks, make_clone, recorded, script_of
from tests.helpers.processes import end_all
from tests.helpers.tracking_server import TrackingServer, free_port

INLINE = re.compile(r"`(?:python )?jobs/(\w+)\.py ([^`\n]*--[^`\n]*)`")
"""A command inside a sentence or a table."""
INDENTED = re.compile(
    r"^(?: {4}|\t)(?:\$ |\w+=\S+ )*(?:python3?|ray|make|pip|mlflow|dcgan|jobs/\S+|\.venv/\S+) .*", re.M
)
HEAD = """export RAY_AUTH_MODE=token RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265
(umask 077; ray get-auth-token --generate > /dev/null)
ray start --head --dashboard-host 127.0.0.1
"""
"""For pages that submit jobs to a cluster which another page starts."""
PREAMBLES = {
    "docs/neighbors.md": (
        "import numpy as np\ncodes, protected = np.random.default_rng(0).integers(0, 256, (2, 500, 16), dtype=np.uint8)\n"
        "samples = blocks = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)"
    ),
    "docs/search.md": "import os\nimport torch\nTRACKING_URI = os.environ['MLFLOW_TRACKING_URI']\nimages = torch.zeros(2, 3, 32, 32)",
    "docs/tables.md": "import torch\nimages = target_images = torch.randint(0, 256, (128, 3, 32, 32), dtype=torch.uint8)",
}
"""What the Python of a page takes for granted."""
QUICK = ("docs/data.md",)
RUN = [page for page in PAGES if any(block.runs for block in blocks(page))]


class ParsedError(Exception):
    """The flags of a job were right."""


@pytest.fixture
def only_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs end when their flags are parsed and checked."""
    check = command_line.check_addresses

    def stop(options: object) -> None:
        check(options)
        raise ParsedError

    monkeypatch.setattr(command_line, "check_addresses", stop)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def parse(call: list[str]) -> None:
    """Let the program of a command parse it, and do nothing.

    Raises:
        Exception: it would refuse a flag or a value.
    """
    program, *words = call
    match program, words:
        case "ray", ["job", "submit", *rest]:
            parse_click("ray.scripts.scripts", words)
            parse(rest[rest.index("--") + 1 :])
        case "ray", _:
            parse_click("ray.scripts.scripts", words)
        case "mlflow", _:
            parse_click("mlflow.cli", words)
        case "python" | "python3", ["-m", module, *flags] if module in ("dcgan_dist.doctor", "dcgan_dist.bench"):
            expect_parsed(importlib.import_module(f"{module}.__main__").main, flags)
        case "python" | "python3", ["-m", module, *_]:
            assert importlib.util.find_spec(module)
        case "python" | "python3", [script, *flags] if script.startswith("jobs/"):
            expect_parsed(load_job(Path(script).stem), flags)
        case "python" | "python3", ["-c", code]:
            compile(code, "-c", "exec")
        case (("python" | "python3"), _):
            raise AssertionError("neither a job nor a module")


def expect_parsed(main, flags: list[str]) -> None:
    with pytest.raises(ParsedError):
        main(flags)


def parse_click(module: str, words: list[str]) -> None:
    """Let a program that is made with click parse its arguments."""
    command: click.Command = importlib.import_module(module).cli
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("", list(words))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_what_it_needs(page: str) -> None:
    text = PAGES[page].read_text()

    assert text.count("\n```") == 2 * len(FENCE.findall(text)), "a fence that is not understood"
    assert not INDENTED.findall(FENCE.sub("", text)), "a command in an indented block: fence it"
    for block in blocks(page):
        assert block.language in ("sh", "python", "json", "text"), block
        assert not block.title or NOT_HERE.fullmatch(block.title), block.title
        assert block.language != "text" or not re.search(r"^(python|ray|make|jobs/\w+\.py) ", block.text, re.M)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_parsed_by_its_program(page: str, tmp_path: Path, only_parsed: None) -> None:
    calls, wrong = recorded(page, make_clone(tmp_path)), {}
    for call in calls:
        try:
            parse(call)
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            wrong[shlex.join(call)] = repr(error)
    assert wrong == {}
    text = "".join(block.text for block in blocks(page) if block.language == "sh")
    assert len(re.findall(r"\bpython3? (?:jobs/|-m )", text)) <= len(calls), "bash did not get to the end"


def test_commands_inside_sentences_have_flags_that_exist(only_parsed: None, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    found = [(page, *command) for page in PAGES for command in INLINE.findall(PAGES[page].read_text())]
    for page, job, flags in found:
        try:
            load_job(job)(shlex.split(re.sub(r"\.\.\.|\\\|\S+|{.*}", "", flags)))
        except ParsedError:
            continue
        except SystemExit:
            if "required" in capsys.readouterr().err.lower():  # a sentence about one flag names no others
                continue
        wrong.append((page, job, flags))
    assert wrong == []
    assert len(found) >= 20


def test_the_pages_show_every_job() -> None:
    text = "".join(path.read_text() for path in PAGES.values())

    assert [path.name for path in JOBS.glob("[!_]*.py") if f"jobs/{path.name}" not in text] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {name for path in PAGES.values() for name in re.findall(r"tests/[\w/]+\.py(?:::\w+)?", path.read_text())}
    wrong = []
    for name in named:
        file, _, function = name.partition("::")
        path = REPOSITORY / file
        if not path.is_file() or (function and f"def {function}(" not in path.read_text()):
            wrong.append(name)
    assert wrong == []
    assert len(named) > 30


@pytest.fixture
def clone() -> Iterator[Path]:
    """A clone with small data, whose path is short, as Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="dp", dir="/tmp"))
    yield make_clone(folder)
    end_all(str(folder))
    shutil.rmtree(folder)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [pytest.param(page, marks=[] if page in QUICK else pytest.mark.slow) for page in RUN])
def test_everything_a_page_shows_runs(page: str, clone: Path) -> None:
    text = "\n".join(block.text for block in blocks(page) if block.runs)
    ray, dashboard, agent, mlflow = (str(free_port()) for _ in range(4))
    replaced = {"/shared/": f"{clone}/shared/", "127.0.0.1:8265": f"127.0.0.1:{dashboard}", "/home/me": f"{clone}/home"}
    settings = VALUES | {"RAY_TMPDIR": str(clone), "DCGAN_DIST_MLFLOW_PORT": mlflow}
    if "--tracking-uri" not in text:
        settings["MLFLOW_TRACKING_URI"] = f"sqlite:///{clone}/mlflow.db"
    settings["DCGAN_DIST_RAY_START"] = (
        f"--port {ray} --dashboard-port {dashboard} --dashboard-agent-listen-port {agent} --temp-dir {clone}/r --num-cpus 2"
    )
    make_places(text, clone)
    before = "git init --quiet .\n" if page == "CONTRIBUTING.md" else ""
    with ExitStack() as stack:
        if "http://mlflow:5000" in text:
            server = TrackingServer(clone)
            stack.callback(server.stop)
            replaced["http://mlflow:5000"] = server.address
        if "127.0.0.1:9000" in text:
            replaced["s3://dcgan"] = stack.enter_context(s3_bucket())
            replaced["http://127.0.0.1:9000"] = os.environ["AWS_ENDPOINT_URL"]
        if "ray job submit" in text and "ray start" not in text:
            before += HEAD.replace("127.0.0.1:8265", f"127.0.0.1:{dashboard}")
        bash(clone, script_of(page, before, PREAMBLES.get(page, ""), replaced), 1700, **settings)


def test_the_pages_build_without_a_dead_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]

    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "load_generator" in (tmp_path / "api" / "index.html").read_text()
    assert "needs Kubernetes" in (tmp_path / "clusters" / "index.html").read_text()
