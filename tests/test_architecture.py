"""The house: imports go downward, and each outside library has one owner."""

import ast
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "dcgan_dist"
# Top to bottom; rooms on one line do not import each other.
STOREYS = [
    {"__main__"},
    {"jobs"},
    {"api"},
    {"bench"},
    {"search", "tables"},
    {"runs", "explore", "report", "memorization"},
    {"registry", "dedup"},
    {"training", "quality", "similarity", "prepare", "doctor"},
    {"models", "cli"},
    {"cluster", "data", "presets"},
    {"tracking", "storage", "neighbors", "config"},
    {"untrusted"},
    {"errors", "files"},
]
LEVEL = {name: level for level, names in enumerate(STOREYS) for name in names}
LIBRARIES = {
    "errors",
    "files",
    "untrusted",
    "config",
    "presets",
    "models",
    "data",
    "storage",
    "neighbors",
    "tracking",
    "registry",
} | {
    *("training", "quality", "similarity"),
}
FOREIGN_FLAGS = {"--backend-store-uri", "--always", "--dirty", "--abbrev", "--exclude"}  # of mlflow and git
COMMANDS = {
    "training/__main__.py",  # a command line of its own
    "registry/model_card.py",  # shows how a registered model is used from a shell
    "registry/export_card.py",  # and an exported one
}
RAY_FILES = {
    *("cluster/capacity.py", "cluster/join.py", "cluster/process_group.py", "cluster/ray_internals.py"),
    *("cluster/ray_train_internals.py", "cluster/tasks.py"),
    *("runs/attempt.py", "runs/fit.py", "runs/outcome.py", "runs/probe.py", "runs/rank.py", "runs/driver_link.py"),
    *(
        "runs/rank_checkpoints.py",
        "runs/rank_precision.py",
        "runs/snapshot.py",
        "search/sweep.py",
        "dedup/fit_coder.py",
    ),
}
OWNERS = {
    "ray": RAY_FILES,
    "webdataset": {"data"},
    "faiss": {"neighbors"},
    "mlflow": {"tracking", "registry"},
}
"""Room or file that may import each; bench and doctor may import all."""


def room(path: Path, repository: Path) -> str:
    """First folder or file below the package, or `jobs`."""
    parts = path.relative_to(repository).with_suffix("").parts
    return "jobs" if parts[0] == "jobs" else parts[1]


def imports(path: Path) -> list[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.fixture(scope="module")
def sources(repository: Path) -> list[Path]:
    return [*(repository / PACKAGE).rglob("*.py"), *(repository / "jobs").glob("*.py")]


def test_imports_go_downward(sources: list[Path], repository: Path) -> None:
    assert len(sources) > 20
    wrong = []
    for path in sources:
        here = room(path, repository)
        if here == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != PACKAGE or len(parts) < 2 or parts[1] == here:
                continue
            if LEVEL[parts[1]] <= LEVEL[here]:
                wrong.append(f"{path.relative_to(repository)} imports {name}")

    assert not wrong, "\n".join(wrong)


def test_outside_libraries_are_imported_by_their_owner_only(sources: list[Path], repository: Path) -> None:
    wrong = [
        f"{path.relative_to(repository)} imports {name}"
        for path in sources
        for name in imports(path)
        if name.split(".")[0] in OWNERS
        and not {room(path, repository), str(path.relative_to(repository).as_posix()).removeprefix(f"{PACKAGE}/")}
        & (OWNERS[name.split(".")[0]] | {"bench", "doctor"})
    ]

    assert not wrong, "\n".join(wrong)


def test_no_file_name_occurs_twice(sources: list[Path]) -> None:
    """So that a name says which file is meant; `job`, `plan` and `result` mean the same in every room."""
    common = {"__init__.py", "__main__.py", "job.py", "plan.py", "result.py"}
    names = [path.name for path in sources if path.name not in common]

    assert sorted(names) == sorted(set(names))


def texts(path: Path) -> list[ast.Constant]:
    """All string constants of a file, docstrings among them."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_libraries_name_fields_and_jobs_but_no_flag_and_no_script(sources: list[Path], repository: Path) -> None:
    libraries = [path for path in sources if room(path, repository) in LIBRARIES]
    wrong = [
        f"{path.relative_to(repository)}:{text.lineno}: {name}"
        for path in libraries
        if str(path.relative_to(repository / PACKAGE)) not in COMMANDS
        for text in texts(path)
        for name in re.findall(r"--[a-z][a-z0-9.-]*|\bjobs/", str(text.value))
        if name not in FOREIGN_FLAGS
    ]

    assert len(libraries) > 20
    assert not wrong, "\n".join(wrong)


def test_messages_name_only_fields_that_exist(sources: list[Path], repository: Path) -> None:
    """A setting in backticks is a field of some dataclass, so that the command line shows a flag that exists."""
    trees = {path: ast.parse(path.read_text()) for path in sources}
    fields = {
        node.target.id
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    jobs = {path.stem for path in sources if room(path, repository) == "jobs"} | {"prepare_*"}
    named = {
        (f"{path.relative_to(repository)}:{text.lineno}", name)
        for path, tree in trees.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("InputError", "require")
        for text in ast.walk(call)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
        for name in re.findall(r"`([a-z][\w.*]*)(?:=[^`\s]+)?`", text.value)
    }
    wrong = [
        f"{where} names {name}"
        for where, name in sorted(named)
        if not ({*name.split(".")} <= fields or name in jobs or name == "accept_risk")
    ]

    assert len(named) > 50
    assert not wrong, "\n".join(wrong)


def test_sources_are_ascii(sources: list[Path], repository: Path) -> None:
    wrong = [str(path.relative_to(repository)) for path in sources if not path.read_text().isascii()]

    assert not wrong


def test_training_runs_where_there_is_nothing_but_torch() -> None:
    code = (
        "import sys, importlib\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('ray', 'mlflow', 'webdataset', 'faiss', 'torchvision', 'PIL', 'tyro', 'pyarrow'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import dcgan_dist.training.__main__\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def lengths(path: Path) -> list[tuple[str, int]]:
    """Name and lines of every function of a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]


def test_files_and_functions_are_short_enough_to_be_read_at_once(sources: list[Path], repository: Path) -> None:
    read_at_once = [path for path in sources if path.name != "config.py"]
    long_files = [path.name for path in read_at_once if len(path.read_text().splitlines()) > 300]
    long_functions = [
        f"{path.relative_to(repository)}: {name}" for path in read_at_once for name, n in lengths(path) if n > 60
    ]

    assert not long_files
    assert not long_functions


def test_help_of_every_job_loads_neither_torch_nor_ray_nor_mlflow(repository: Path) -> None:
    """So that it is shown at once."""
    commands = [[path.stem] for path in sorted((repository / "jobs").glob("[!_]*.py")) if path.stem != "explore"]
    commands += [["explore", name] for name in ("walk", "filters", "windows", "arithmetic", "turn")]
    code = (
        "import contextlib, importlib, io, json, sys\n"
        "loaded = {}\n"
        "for name, *sub in json.loads(sys.argv[1]):\n"
        "    sys.path[:0] = ['jobs']\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):\n"
        "        importlib.import_module(name).main([*sub, '--help'])\n"
        "    assert 'usage:' in shown.getvalue(), name\n"
        "    loaded[' '.join([name, *sub])] = [m for m in ('torch', 'ray', 'mlflow') if m in sys.modules]\n"
        "print(json.dumps(loaded))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], cwd=repository, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert len(loaded) == len(commands) > 20
    assert not {name: modules for name, modules in loaded.items() if modules}


# What rooms once called things by: for each the field has a word of its own (event, callbacks, capacity monitor, logging ...).
UNUSUAL_NAMES = re.compile(
    r"(^|_)(board|notice|keeper|hurr(y|ied)|patiently|superfluous|hears)(_|$)|^say$"
    r"|rank_?of_?run|sample_?judge|hang_?watch|room_?watch|judge_again|told_bad|linear_machine|kernels_turned"
)
UNUSUAL_PHRASES = re.compile(
    r"\bno numbers?\b|\baloud\b|\bobeys (strangers|everybody)|\blinear machines?\b|\bkernels turned\b|\bin words\b|(?-i:^Of )",
    re.I,
)


def names_given(path: Path) -> set[str]:
    """Names of a file's module, classes, functions, parameters, variables and attributes, in snake case."""
    names = {path.stem}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name))
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name.lower() for name in names}


def prose(path: Path) -> Iterator[str]:
    """Strings and comments of a Python file; the whole of another one."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    yield from (str(text.value) for text in texts(path))
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    yield " ".join(token.string.lstrip("#! ") for token in tokens)


def test_names_and_prose_are_the_words_of_the_field(sources: list[Path], repository: Path) -> None:
    tests = [path for path in (repository / "tests").rglob("*.py") if path != Path(__file__)]
    docs = [*repository.glob("*.md"), *(repository / "docs").glob("*.md")]
    uses = {path: [n for n in names_given(path) if UNUSUAL_NAMES.search(n)] for path in [*sources, *tests]}
    for path in [*sources, *tests, *docs]:
        matches = [UNUSUAL_PHRASES.search(" ".join(text.split())) for text in prose(path)]
        uses.setdefault(path, []).extend(match[0] for match in matches if match)
    wrong = [f"{path.relative_to(repository)}: {use}" for path, names in uses.items() for use in names]

    assert len(docs) > 10
    assert not wrong, "\n".join(wrong)
