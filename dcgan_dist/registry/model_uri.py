"""What the address of a model in the registry names."""

import re
from dataclasses import dataclass

from dcgan_dist.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredVersion:
    """models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/latest."""

    name: str
    alias: str = ""
    """Empty where the version is named."""
    version: str = ""
    """Digits or "latest"; empty where an alias is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedModelUri:
    """models:/MODEL_ID."""

    model_id: str
    """m- and 32 hexadecimal digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOfRun:
    """runs:/RUN_ID/NAME."""

    run_id: str
    name: str
    """generator, discriminator or classifier."""


def in_registry(model: str) -> bool:
    """Whether a model is named by an address in a registry, and not by a folder."""
    return model.startswith(("models:/", "runs:/"))


def parse_model_uri(uri: str) -> RegisteredVersion | LoggedModelUri | ModelOfRun:
    """What a URI names.

    Raises:
        InputError: nothing.
    """
    if match := re.fullmatch(r"runs:/([^/]+)/([^/]+)", uri):
        return ModelOfRun(run_id=match[1], name=match[2])
    if match := re.fullmatch(r"models:/(m-[0-9a-f]{32})", uri):
        return LoggedModelUri(model_id=match[1])
    if match := re.fullmatch(r"models:/([^/@]+)(?:@([\w-]+)|/(\d+|latest))", uri):
        return RegisteredVersion(name=match[1], alias=match[2] or "", version=match[3] or "")
    raise InputError(
        f"{uri!r} names no model: write models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/generator"
    )


def parse_version_uri(uri: str) -> RegisteredVersion:
    """The registered version that a URI names.

    Raises:
        InputError: it names none.
    """
    named = parse_model_uri(uri)
    if not isinstance(named, RegisteredVersion):
        raise InputError(f"{uri!r} names no registered version: write models:/NAME@ALIAS or models:/NAME/VERSION")
    return named
