"""What the .json members of shards say about their samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.shards.tar_members import Member, TarFault, split_name, walk_tar
from dcgan_dist.errors import InputError


def read_details(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The .json member of every sample that has one, by key; both layouts.

    Args:
        manifest: of shards on a local disk.

    Raises:
        InputError: a remote data set, or a shard that is cut, or a member that is not JSON.
    """
    if "://" in manifest.location:
        raise InputError(f"the .json members of {manifest.location} are read from a local disk only: copy the shards")
    found: dict[str, dict[str, Any]] = {}
    for shard in manifest.shards:
        path = Path(manifest.location) / shard.name
        try:
            found.update(_of_shard(path))
        except (OSError, TarFault, ValueError) as error:
            raise InputError(
                f"{path}: its .json members cannot be read ({error}): run the job `inspect_shards`"
            ) from error
    return found


def _of_shard(path: Path) -> dict[str, dict[str, Any]]:
    single: dict[str, Any] = {}
    block_keys: dict[str, list[str]] = {}
    with path.open("rb") as file:

        def content(member: Member) -> Any:
            file.seek(member.offset)
            return json.loads(file.read(member.size))

        for member in walk_tar(path):
            key, suffix = split_name(member.name)
            if suffix == "json":
                single[key] = content(member)
            elif suffix == "keys.json":
                block_keys[key] = content(member)
    found: dict[str, dict[str, Any]] = {}
    for key, value in single.items():
        if isinstance(value, list):  # a block's: one entry per sample
            found.update({name: one for name, one in zip(block_keys[key], value, strict=True) if one is not None})
        else:
            found[key] = value
    return found
