"""What every job shares: configs from the command line, and exit codes."""

import argparse
import getpass
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from dcgan_dist.cli.logs import no_long_silence, render_flags, show_logs
from dcgan_dist.cli.uri_flags import check_address, check_addresses
from dcgan_dist.cluster.security_checks import ACCEPTED_RISKS, RISKS
from dcgan_dist.errors import InputError, require
from dcgan_dist.tracking.address import holds_secret, sqlite_uri

T = TypeVar("T")

LONGEST_FILE_NAME = 255

# Set before ray or mlflow are imported: neither phones home unless its user asks for it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def parse(
    config_class: type[T],
    argv: Sequence[str],
    *,
    description: str,
    default: Any = None,
    joins: bool = True,
    prog: str | None = None,
) -> T:
    """Build a dataclass from flags; every field is a flag by its dotted path.

    Exits 0 after --help, and 2 after a flag that does not exist, naming the nearest, or a value of another type.

    Args:
        config_class: a (nested) dataclass; the docstring under each field is its help.
        argv: the flags, without the program's name.
        description: what the job does, for --help.
        default: an instance that holds the defaults; None where the class has them.
        joins: the job may join a cluster, so it takes --accept-risk.
        prog: what is typed to start it; None: the script.

    Raises:
        InputError: a value that the dataclass refuses, an address that a setting does not take, or --accept-risk without a
            risk.
    """
    show_logs()
    for word in argv:
        parts = b"" if "://" in word else os.fsencode(word).replace(b"=", b"/")
        if "\0" in word or max(map(len, parts.split(b"/"))) > LONGEST_FILE_NAME:
            raise InputError(f"{word[:80]!r} ... is longer than any path, or holds a zero byte: correct it")
    arguments: dict[str, Any] = {} if default is None else {"default": default}
    if joins:
        argv = _take_accepted_risks(argv)
        description += (
            f"\nEvery job also takes --accept-risk {'|'.join(RISKS)}: run on a cluster of several machines despite it."
        )
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            options = tyro.cli(config_class, args=list(argv), description=description, prog=prog, **arguments)
    except SystemExit as leaving:
        # tyro would print what a config refuses by itself, with fields where flags belong.
        cause: BaseException | None = leaving
        while cause := cause.__context__:
            if isinstance(cause, InputError):
                raise cause from None
        sys.stderr.write(printed.getvalue())
        raise
    check_addresses(options)
    return options


def _take_accepted_risks(argv: Sequence[str]) -> list[str]:
    """The flags without `--accept-risk NAME`, which all jobs share and the code that joins a cluster asks for."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--accept-risk", action="append", nargs="?", const="", default=[])
    options, others = parser.parse_known_args(argv)
    require(all(options.accept_risk), f"`accept_risk` names no risk: give one of {', '.join(RISKS)}")
    if options.accept_risk:
        os.environ[ACCEPTED_RISKS] = ",".join(filter(None, [os.environ.get(ACCEPTED_RISKS), *options.accept_risk]))
    return others


EXTRAS = {
    "faiss": "dedup",
    "lmdb": "lsun",
    "cv2": "faces",
    "s3fs": "s3",
    "gcsfs": "gcs",
    "torch_fidelity": "quality",
    "nicegui": "demo",
}
EXTRAS |= dict.fromkeys(("onnx", "onnxruntime"), "export")
"""Extra of the package that brings each library which only some jobs need."""


def run(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a job and exit with its code: 2 with one sentence for what a user can mend, 130 after Ctrl-C."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    _name_the_user()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with no_long_silence():
            code = main(sys.argv[1:])
    except InputError as error:
        print(f"error: {render_flags(error)}", file=sys.stderr)
        code = 2
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        print(f"error: {library} is missing: pip install 'dcgan_dist[{EXTRAS[library]}]'", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.exit(code)


def _name_the_user() -> None:
    """Name and home for a uid that has neither, as a container gives it: Ray, MLflow and torch ask for them."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


def default_shards() -> str:
    """$DCGAN_DIST_SHARDS, else ~/dcgan_dist/shards."""
    return os.environ.get("DCGAN_DIST_SHARDS") or str(Path.home() / "dcgan_dist" / "shards")


def default_storage() -> str:
    """$DCGAN_DIST_STORAGE, else ~/dcgan_dist/runs."""
    return os.environ.get("DCGAN_DIST_STORAGE") or str(Path.home() / "dcgan_dist" / "runs")


def default_tracking_uri(storage: str) -> str:
    """$MLFLOW_TRACKING_URI, else a database inside the storage.

    Raises:
        InputError: the storage is a URI, where no database file can lie.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if "://" in storage:
        raise InputError(
            f"`storage` {storage} is not a local folder, so the tracking database cannot lie in it: "
            "name a server with `tracking_uri` or MLFLOW_TRACKING_URI"
        )
    return sqlite_uri(Path(storage) / "mlflow.db")


def absolute(path: str, field: str) -> str:
    """Make a local path absolute; URIs stay as they are.

    Raises:
        InputError: a relative path inside a Ray job, whose working directory is thrown away at its end, or an address that
            the field does not take.
    """
    check_address(path, field)
    if "://" in path or Path(path).expanduser().is_absolute():
        return str(Path(path).expanduser()) if "://" not in path else path
    if os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"):
        raise InputError(
            f"`{field}` {path} is relative, and a Ray job's working directory is thrown away: give an absolute path or a URI"
        )
    return str(Path(path).absolute())


def absolute_places(storage: str, tracking_uri: str) -> dict[str, str]:
    """`storage` and `tracking_uri` as given or by default, absolute; raises InputError as `absolute` and `refuse_secrets`."""
    storage = absolute(storage or default_storage(), "storage")
    refuse_secrets(storage, "storage")
    return {"storage": storage, "tracking_uri": absolute_tracking_uri(tracking_uri, storage)}


def absolute_tracking_uri(uri: str, storage: str = "") -> str:
    """The given or default tracking URI, a `sqlite:///` file as an absolute path: from every folder it names the same runs.

    Args:
        uri: URI as given; empty: `default_tracking_uri`.
        storage: folder of runs for that default; empty: `default_storage`.

    Raises:
        InputError: a relative path inside a Ray job, no default, or a user name or password in the URI.
    """
    uri = uri or default_tracking_uri(storage or default_storage())
    refuse_secrets(uri, "tracking_uri")
    file = uri.removeprefix("sqlite:///")
    return uri if file == uri else f"sqlite:///{absolute(file, 'tracking_uri')}"


def refuse_secrets(place: str, field: str) -> None:
    """Raise InputError for a URI with a user name, password, key or token: places are kept with the run and shown.

    The message does not repeat the place.
    """
    require(
        not holds_secret(place),
        f"`{field}` holds a user name or password, a key or a token, which would be kept with the run: leave it out, and give "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the storage's usual credentials, in the environment",
    )
