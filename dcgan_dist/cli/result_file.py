"""Results of jobs as JSON: result.json in the folder of --out, or the file of --json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dcgan_dist.errors import InputError
from dcgan_dist.files import whole_file

RESULT_NAME = "result.json"


def write_result(folder: Path, result: dict[str, Any]) -> Path:
    """Write a result in one step, so that a reader finds the one before or all of this one; its folder is made.

    Args:
        folder: --out of the job.
        result: of JSON values.

    Returns:
        Path of the file.

    Raises:
        InputError: the folder cannot be written.
    """
    path = folder / RESULT_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`out` {folder} cannot be written ({error.strerror}): choose another folder") from error
    return path


def write_json(path: str, content: Any) -> None:
    """Write what --json asks for; an empty path asks for nothing.

    Raises:
        InputError: the file cannot be written.
    """
    if not path:
        return
    try:
        with whole_file(Path(path)) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"`json` {path} cannot be written ({error.strerror}): name another file") from error
