"""Which settings may be addresses of stores; every other one refuses an address before anything is done.

A setting is known by the last part of its name, so a new one refuses addresses until it is entered here.
"""

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dcgan_dist.errors import InputError, require
from dcgan_dist.storage.filesystems import copy_command
from dcgan_dist.storage.uri import PROTOCOLS
from dcgan_dist.tracking.address import holds_secret

WEB = ("http", "https")
READ = {"shards", "protect", "train", "held_out", "samples", "data", "keep_list"}
"""Shards and their keep lists are read from everywhere."""
STORED = {"out", "rewrite", "sheet", "json", "storage", "model"}
"""Results are written to stores, and trained models are read from them."""
SERVERS = {"tracking_uri", "address"}
"""Addresses of servers, which those who open them check."""
REGISTRY = ("models", "runs")
"""What addresses of models in a registry begin with; they have one slash."""
WRITTEN = {"out", "rewrite", "sheet", "json"}
ADDRESS = re.compile(r"((?i:s3|gs|gcs|https?)(?=:)|[A-Za-z][A-Za-z0-9+.-]+(?=:/))")


def check_addresses(options: Any) -> None:
    """Raise InputError for a setting that is an address and cannot be one.

    Args:
        options: the (nested) dataclass of a command.
    """
    for name, value in _texts(options, ""):
        check_address(value, name)


def check_address(value: str, name: str) -> None:
    """Raise InputError if a setting is an address that it does not take, with the command that copies it; or a path below the
    home of nobody.
    """
    last = name.rpartition(".")[2]
    if value.startswith("~"):
        user = Path(value).parts[0]
        home = os.path.expanduser(user)  # noqa: PTH111  as Path.expanduser raises RuntimeError
        require(
            home != user, f"`{name}` {value}: {user} is no user of this machine: give the path from /, or ./{value}"
        )
    if value.startswith("pipe:") or (match := ADDRESS.match(value)) is None or last in SERVERS:
        return  # `pipe:` is refused where it would be opened, by name
    protocol = match[1].lower()
    if last == "model" and protocol in REGISTRY:
        return
    require(
        not holds_secret(value),
        f"`{name}` holds a user name or password, a key or a token, which would be shown and kept: leave it out, and give the "
        "store's usual credentials in the environment",
    )
    if protocol == "file":
        raise InputError(f"`{name}` {value} is a local path: give it without file://")
    if not value.startswith(f"{match[1]}://"):
        raise InputError(f"`{name}` {value} has too few slashes to be an address: give {protocol}://...")
    require(match[1] == protocol, f"`{name}` {value} has a protocol in capitals: give {protocol}://...")
    try:
        host = urlsplit(value).netloc
    except ValueError:  # as of [::1
        host = ""
    require(
        bool(host) or protocol not in ("s3", "gs", "gcs", *WEB),
        f"`{name}` {value} names no bucket or host: give {protocol}://NAME/...",
    )
    if last == "storage" and protocol not in WEB:
        return  # any store that fsspec knows
    allowed = PROTOCOLS if last in READ else tuple(p for p in PROTOCOLS if p not in WEB) if last in STORED else ()
    if protocol in allowed:
        return
    if last in STORED and protocol in WEB:
        raise InputError(f"`{name}` {value} cannot be written to or listed: give a folder, s3://... or gs://...")
    if last in STORED | READ:
        raise InputError(f"`{name}` {value} has an unknown protocol: give a local path or {'://, '.join(allowed)}://")
    require_local(value, name, "this takes none")


def require_local(place: str, name: str, reason: str) -> None:
    """Raise InputError if a place is an address where only a local path will do.

    Args:
        place: what was given.
        name: of the setting.
        reason: why an address will not do.
    """
    if ADDRESS.match(place):
        written = name in WRITTEN
        command = copy_command("FOLDER", place) if written else copy_command(place, "FOLDER")
        raise InputError(
            f"`{name}` {place} is an address, and {reason}: give a local folder, and copy it {'afterwards' if written else 'first'} "
            f"with {command}"
        )


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Name and value of all texts of a setting, of the settings inside it, and of the entries of lists."""
    if isinstance(value, str):
        yield name, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry, name)
