"""Which network a model is: its hash, whatever its name."""

import hashlib
from pathlib import Path
from typing import Any

from dcgan_dist.cli.command_line import absolute_tracking_uri
from dcgan_dist.errors import InputError, require
from dcgan_dist.files import sha256_of
from dcgan_dist.models.authors_arrays import FILE, is_authors_folder
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.standing_statistics import check_images_stand_alone
from dcgan_dist.registry.export_folder import CONFIG, is_export
from dcgan_dist.registry.lineage import find_lineage
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.storage.copies import local_input


def open_generator(model: str, tracking_uri: str, label: int = 0) -> Generator:
    """A generator, after making sure that its images stand alone.

    Raises:
        InputError: no such model, no such class, or images that depend on their batch mates.
    """
    generator = load_generator(model, tracking_uri)
    classes = generator.config.classes
    require(
        label == 0 or 0 <= label < classes,
        f"`label` {label}: {model} has {classes} classes" + (f", 0 to {classes - 1}" if classes else ""),
    )
    try:
        check_images_stand_alone(generator)
    except ValueError as error:
        raise InputError(f"{model} cannot be explored: {error}") from error
    return generator


def identify(model: str, tracking_uri: str) -> dict[str, Any]:
    """Which model exactly: its version and run in the registry, or the hash of its file, checkpoint, export or arrays."""
    if in_registry(model):
        lineage = find_lineage(model, absolute_tracking_uri(tracking_uri))
        return {"asked_for": model, "uri": lineage.uri, "run_id": lineage.run_id, "tags": lineage.tags}
    with local_input(model, "model") as path:
        if path.is_file():
            identity = {"sha256_of_file": sha256_of(path)}
        elif is_authors_folder(path):
            identity = {"sha256_of_arrays": _hash_arrays(path)}
        elif is_export(path):
            identity = {"sha256_of_config_json": sha256_of(path / CONFIG)}
        else:
            identity = {"sha256_of_checkpoint_json": sha256_of(path / "checkpoint.json")}
    return {"asked_for": model, "uri": model} | identity


def _hash_arrays(folder: Path) -> str:
    """SHA-256 over the SHA-256 of every array, in the order of their names."""
    paths = sorted(path for path in folder.iterdir() if FILE.fullmatch(path.name))
    return hashlib.sha256(b"".join(bytes.fromhex(sha256_of(path)) for path in paths)).hexdigest()
