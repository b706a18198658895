"""Local copies for code that needs paths: of what lies in a store, and on the way into one."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcgan_dist.errors import InputError
from dcgan_dist.storage.filesystems import copy_command
from dcgan_dist.storage.scratch import scratch_folder
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.storage.uri import is_uri


@contextmanager
def local_input(place: str, field: str) -> Iterator[Path]:
    """A local path of the file or folder that lies at a place; a copy of what lies in a store goes when the block ends.

    Raises:
        InputError: the store has no such thing, does not answer, or refuses; the field names the setting.
    """
    if not is_uri(place):
        yield Path(place).expanduser()
        return
    stored = StoredFolder(place)
    with scratch_folder() as scratch:
        try:
            copy = stored.fetch(stored.path, scratch)
        except OSError as error:
            raise InputError(f"`{field}` {place} cannot be read ({error}): check the address and the store") from error
        yield copy


@contextmanager
def local_output(place: str, field: str) -> Iterator[Path]:
    """A local path for the file or folder that belongs at a place; what lies there when the block ends goes to the store.

    The store is asked first whether it may be written. Where the block raises nothing is sent; where the store fails at
    the end, the local files stay and the message names them.

    Raises:
        InputError: the store does not answer, or refuses; the field names the setting.
    """
    if not is_uri(place):
        yield Path(place)
        return
    stored = StoredFolder(place)
    try:
        stored.retried(lambda: stored.write_bytes(".write-test", b""))
    except OSError as error:
        raise InputError(f"`{field}` {place} cannot be written ({error}): check the address and the store") from error
    stored.remove(f"{stored.path}/.write-test")
    with scratch_folder() as scratch:
        local = scratch / Path(stored.path).name
        yield local
        try:
            stored.retried(lambda: stored.replace_by(local))
        except OSError as error:
            refuge = shutil.move(local, tempfile.mkdtemp(prefix="dcgan-results-"))
            command = copy_command(str(refuge), place, folder=Path(refuge).is_dir())
            raise InputError(
                f"`{field}` {place} cannot be written ({error}): send what was made with {command}"
            ) from error
